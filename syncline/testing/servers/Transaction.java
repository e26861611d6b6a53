import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.backend.memory.MemoryBackend;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.oplog.NoopOplog;
import de.bwaldvogel.mongo.oplog.Oplog;
import io.netty.channel.Channel;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Set;

/**
 * One transaction: a copy of each collection that it touches, as it was then, and of what it wrote.
 *
 * <p>Nobody else sees the copies. At commit each document written must still be what was copied, or
 * the transaction has lost against another; MongoDB itself says so as early as the write.
 */
final class Transaction {
    private final Launcher.Backend shared;
    private final Channel channel;
    private final Copies copies;
    private final Map<String, Map<Object, Document>> before = new HashMap<>();
    private final Map<String, Set<Object>> written = new LinkedHashMap<>();

    Transaction(Launcher.Backend shared, Channel channel) {
        this.shared = shared;
        this.channel = channel;
        this.copies = new Copies();
        copies.version(Launcher.version());
        copies.enableOplog();
    }

    /** Run a command on the copies. */
    Document run(String db, String command, Document query) {
        Object collection = command.equals("getMore") ? query.get("collection") : query.get(command);
        copy(db, collection.toString());
        return copies.handleCommand(channel, db, command, query);
    }

    /** Write what was written where all can see it; false where something moved meanwhile. */
    boolean commit() {
        for (Map.Entry<String, Set<Object>> each : written.entrySet()) {
            for (Object id : each.getValue()) {
                if (!Objects.equals(before.get(each.getKey()).get(id), find(shared, each.getKey(), id))) {
                    return false;
                }
            }
        }
        Map<String, List<Object>> done = new LinkedHashMap<>();
        for (boolean removing : List.of(true, false)) { // so that a unique value can change hands
            for (Map.Entry<String, Set<Object>> each : written.entrySet()) {
                for (Object id : each.getValue()) {
                    Document after = find(copies, each.getKey(), id);
                    if ((after == null) != removing) {
                        continue;
                    }
                    done.computeIfAbsent(each.getKey(), key -> new ArrayList<>()).add(id);
                    if (!put(each.getKey(), id, after)) {
                        done.forEach((key, ids) ->
                                ids.forEach(one -> put(key, one, before.get(key).get(one))));
                        return false;
                    }
                }
            }
        }
        return true;
    }

    private void copy(String db, String collection) {
        String namespace = db + "." + collection;
        if (before.containsKey(namespace)) {
            return;
        }
        Map<Object, Document> found = new HashMap<>();
        List<Document> documents = new ArrayList<>();
        for (Document document : batch(shared, db, new Document("find", collection))) {
            found.put(document.get("_id"), document.cloneDeeply());
            documents.add(document.cloneDeeply());
        }
        before.put(namespace, found);
        List<Document> indexes = new ArrayList<>();
        for (Document index : batch(shared, db, new Document("listIndexes", collection))) {
            if (!index.get("name").equals("_id_")) {
                indexes.add(index);
            }
        }
        if (!documents.isEmpty()) {
            ask(copies, db, new Document("insert", collection).append("documents", documents));
        }
        if (!indexes.isEmpty()) {
            ask(copies, db, new Document("createIndexes", collection).append("indexes", indexes));
        }
        written.remove(namespace); // the copies themselves
    }

    private boolean put(String namespace, Object id, Document document) {
        int dot = namespace.indexOf('.');
        String collection = namespace.substring(dot + 1);
        Document where = new Document("_id", id);
        Document answer;
        if (document == null) {
            Document delete = new Document("q", where).append("limit", 1);
            answer = ask(shared, namespace.substring(0, dot),
                    new Document("delete", collection).append("deletes", List.of(delete)));
        } else {
            Document update = new Document("q", where).append("u", document.cloneDeeply());
            update.append("upsert", true);
            answer = ask(shared, namespace.substring(0, dot),
                    new Document("update", collection).append("updates", List.of(update)));
        }
        return !answer.containsKey("writeErrors");
    }

    private Document find(MemoryBackend from, String namespace, Object id) {
        int dot = namespace.indexOf('.');
        Document query = new Document("find", namespace.substring(dot + 1));
        query.append("filter", new Document("_id", id));
        List<Document> found = batch(from, namespace.substring(0, dot), query);
        return found.isEmpty() ? null : found.get(0);
    }

    @SuppressWarnings("unchecked")
    private List<Document> batch(MemoryBackend from, String db, Document query) {
        query.append("batchSize", Integer.MAX_VALUE);
        Document cursor;
        try {
            cursor = (Document) ask(from, db, query).get("cursor");
        } catch (RuntimeException error) {
            return List.of(); // there is no such collection yet
        }
        return (List<Document>) cursor.get("firstBatch");
    }

    private Document ask(MemoryBackend whom, String db, Document query) {
        return whom.handleCommand(channel, db, query.keySet().iterator().next(), query);
    }

    /** Databases of this transaction alone, whose log is of the keys that were written. */
    private final class Copies extends Launcher.Backend {
        @Override
        protected Oplog createOplog() {
            return new Log();
        }
    }

    private final class Log implements Oplog {
        @Override
        public void handleInsert(String namespace, List<Document> documents) {
            for (Document document : documents) {
                keys(namespace).add(document.get("_id"));
            }
        }

        @Override
        public void handleUpdate(String namespace, Document selector, Document update, List<Object> ids) {
            keys(namespace).addAll(ids);
        }

        @Override
        public void handleDelete(String namespace, Document query, List<Object> ids) {
            keys(namespace).addAll(ids);
        }

        @Override
        public void handleDropCollection(String namespace) {
            throw new UnsupportedOperationException("a transaction drops no collection");
        }

        @Override
        public Cursor createCursor(Document stream, String namespace, Aggregation aggregation) {
            return NoopOplog.get().createCursor(stream, namespace, aggregation);
        }

        private Set<Object> keys(String namespace) {
            return written.computeIfAbsent(namespace, key -> new LinkedHashSet<>());
        }
    }
}
