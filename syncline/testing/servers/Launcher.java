import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.backend.memory.index.MemoryUniqueIndex;
import de.bwaldvogel.mongo.bson.Document;
import java.util.List;

/** Serves mongo-java-server on 127.0.0.1 under the version numbers that current drivers ask for. */
public final class Launcher {
    public static void main(String[] arguments) {
        // Its own MONGO_5_0 announces wire version 8; pymongo talks to 9 and later.
        MongoVersion version = new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
                return List.of(5, 0, 0);
            }

            @Override
            public int getWireVersion() {
                return 13;
            }
        };
        new MongoServer(new Backend().version(version))
                .bind("127.0.0.1", Integer.parseInt(arguments[0]));
    }

    private static final class Backend extends MemoryBackend {
        @Override
        public MemoryDatabase openOrCreateDatabase(String name) {
            return new Database(name, getCursorRegistry());
        }
    }

    private static final class Database extends MemoryDatabase {
        Database(String name, CursorRegistry cursors) {
            super(name, cursors);
        }

        @Override
        protected Index<Integer> openOrCreateUniqueIndex(
                String collection, String name, List<IndexKey> keys, boolean sparse) {
            return new UniqueIndex(name, keys, sparse);
        }
    }

    /**
     * A unique index that also serves a query which asks for more than its keys, as MongoDB's do:
     * what it finds is held against the whole query. Its base leaves such a query to a scan of the
     * collection, and so every update of one document that must still be as it was seen.
     */
    private static final class UniqueIndex extends MemoryUniqueIndex {
        UniqueIndex(String name, List<IndexKey> keys, boolean sparse) {
            super(name, keys, sparse);
        }

        @Override
        public synchronized boolean canHandle(Document query) {
            Document ofKeys = new Document();
            for (String key : keys()) {
                if (!query.containsKey(key)) {
                    return false;
                }
                ofKeys.put(key, query.get(key));
            }
            return super.canHandle(ofKeys);
        }
    }
}
