import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
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
        new MongoServer(new MemoryBackend().version(version))
                .bind("127.0.0.1", Integer.parseInt(arguments[0]));
    }
}
