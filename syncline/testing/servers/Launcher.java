import de.bwaldvogel.mongo.MongoServer;
import de.bwaldvogel.mongo.MongoVersion;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.Index;
import de.bwaldvogel.mongo.backend.IndexKey;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.backend.memory.MemoryDatabase;
import de.bwaldvogel.mongo.backend.memory.index.MemoryUniqueIndex;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.oplog.Oplog;
import io.netty.channel.Channel;
import java.net.InetSocketAddress;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Serves mongo-java-server on 127.0.0.1 under the version numbers that current drivers ask for.
 *
 * <p>A second server, with data of its own, poses as a replica set of one member, which has change
 * streams. It is there once a client of the first has asked for it by the command replicaSetPort.
 */
public final class Launcher {
    private static Integer replicaSetPort;

    public static void main(String[] arguments) {
        new MongoServer(new Backend().version(version()))
                .bind("127.0.0.1", Integer.parseInt(arguments[0]));
    }

    static MongoVersion version() {
        // Its own MONGO_5_0 announces wire version 8; pymongo talks to 9 and later.
        return new MongoVersion() {
            @Override
            public List<Integer> getVersionArray() {
                return List.of(5, 0, 0);
            }

            @Override
            public int getWireVersion() {
                return 13;
            }
        };
    }

    private static synchronized int replicaSetPort() {
        if (replicaSetPort == null) {
            MongoServer server = new MongoServer(new ReplicaSet().version(version()));
            server.enableOplog();
            server.bind(new InetSocketAddress("127.0.0.1", 0));
            replicaSetPort = server.getLocalAddress().getPort();
        }
        return replicaSetPort;
    }

    static class Backend extends MemoryBackend {
        @Override
        public MemoryDatabase openOrCreateDatabase(String name) {
            return new Database(name, getCursorRegistry());
        }

        @Override
        public Document handleCommand(Channel channel, String db, String command, Document query) {
            if (command.equals("replicaSetPort")) {
                return new Document("port", replicaSetPort()).append("ok", 1.0);
            }
            return super.handleCommand(channel, db, command, query);
        }
    }

    /** Says of itself and of every answer what a replica set says; it does one thing at a time. */
    private static final class ReplicaSet extends Backend {
        private static final Set<String> OF_SESSIONS = Set.of("lsid", "txnNumber", "startTransaction",
                "autocommit", "readConcern", "$clusterTime");
        private final Map<List<Object>, Transaction> transactions = new HashMap<>();
        private final Set<List<Object>> committed = new HashSet<>();

        @Override
        protected Oplog createOplog() {
            return new ChangeLog(getCursorRegistry());
        }

        @Override
        public synchronized Document handleCommand(
                Channel channel, String db, String command, Document query) {
            Document plain = query.clone();
            plain.keySet().removeAll(OF_SESSIONS);
            Document answer;
            if (query.containsKey("autocommit")) {
                answer = inTransaction(channel, db, query, plain);
            } else if (command.equals("endSessions")) {
                answer = new Document("ok", 1.0);
            } else {
                answer = super.handleCommand(channel, db, command, plain);
            }
            BsonTimestamp now = ((ChangeLog) oplog).now();
            if (command.equalsIgnoreCase("isMaster")) {
                answer.put("setName", "stand-in");
                answer.put("lastWrite", new Document("majorityWriteDate", answer.get("localTime")));
                answer.put("logicalSessionTimeoutMinutes", 30);
            }
            if (answer.get("cursor") instanceof Document) {
                Document cursor = (Document) answer.get("cursor");
                ChangeLog.mark(cursor, getCursorRegistry());
            }
            answer.put("operationTime", now);
            return answer;
        }

        private Document inTransaction(
                Channel channel, String db, Document query, Document plain) {
            String command = query.keySet().iterator().next();
            List<Object> key = List.of(query.get("lsid"), query.get("txnNumber"));
            if (query.containsKey("startTransaction")) {
                transactions.put(key, new Transaction(this, channel));
            }
            if (command.equals("commitTransaction") && committed.contains(key)) {
                return new Document("ok", 1.0);
            }
            Transaction transaction = transactions.get(key);
            if (transaction == null) {
                return lost(251, "NoSuchTransaction", "the transaction was aborted");
            }
            boolean ends = true;
            try {
                if (command.equals("abortTransaction")) {
                    return new Document("ok", 1.0);
                }
                if (command.equals("commitTransaction")) {
                    if (!transaction.commit()) {
                        return lost(112, "WriteConflict", "a document was written meanwhile");
                    }
                    committed.add(key);
                    return new Document("ok", 1.0);
                }
                Document answer = transaction.run(db, command, plain);
                ends = answer.containsKey("writeErrors"); // any error ends a transaction
                return answer;
            } finally {
                if (ends) {
                    transactions.remove(key);
                }
            }
        }

        private static Document lost(int code, String name, String message) {
            Document error = new Document("ok", 0.0).append("code", code).append("codeName", name);
            error.append("errmsg", message);
            return error.append("errorLabels", List.of("TransientTransactionError"));
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
