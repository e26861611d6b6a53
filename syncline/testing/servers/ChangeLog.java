import de.bwaldvogel.mongo.backend.AbstractCursor;
import de.bwaldvogel.mongo.backend.Cursor;
import de.bwaldvogel.mongo.backend.CursorRegistry;
import de.bwaldvogel.mongo.backend.aggregation.Aggregation;
import de.bwaldvogel.mongo.bson.BsonTimestamp;
import de.bwaldvogel.mongo.bson.Document;
import de.bwaldvogel.mongo.exception.MongoServerError;
import de.bwaldvogel.mongo.oplog.Oplog;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;

/**
 * The last changes, in the order of their times, and cursors over them.
 *
 * <p>The server's own log gives an update's event the update in place of the document's key, fails
 * where it is read and written at once, never ends, and never says that what is asked for is gone.
 */
final class ChangeLog implements Oplog {
    private static final int KEPT = 20_000;
    private static final int HISTORY_LOST = 286;
    private static final int FATAL = 280;
    private static final String OF_EVENT = "2B";
    private static final String BETWEEN_EVENTS = "29";

    private final Deque<Document> events = new ArrayDeque<>();
    private final CursorRegistry cursors;
    private long time = System.currentTimeMillis() / 1000 << 32 | 1;
    private long forgotten = time - 1;

    ChangeLog(CursorRegistry cursors) {
        this.cursors = cursors;
    }

    /** The time of the last change. */
    synchronized BsonTimestamp now() {
        return new BsonTimestamp(time);
    }

    @Override
    public void handleInsert(String namespace, List<Document> documents) {
        for (Document document : documents) {
            add("insert", namespace, document.get("_id"));
        }
    }

    @Override
    public void handleUpdate(String namespace, Document selector, Document update, List<Object> ids) {
        for (Object id : ids) {
            add("update", namespace, id);
        }
    }

    @Override
    public void handleDelete(String namespace, Document query, List<Object> ids) {
        for (Object id : ids) {
            add("delete", namespace, id);
        }
    }

    @Override
    public void handleDropCollection(String namespace) {
        add("drop", namespace, null);
        add("invalidate", namespace, null);
    }

    @Override
    public Cursor createCursor(Document stream, String namespace, Aggregation aggregation) {
        Document token = (Document) stream.getOrDefault("resumeAfter", stream.get("startAfter"));
        BsonTimestamp start = (BsonTimestamp) stream.get("startAtOperationTime");
        long after = now().getValue();
        if (token != null) {
            after = known(token.get("_data").toString());
        } else if (start != null) {
            after = start.getValue() - 1;
        }
        Changes cursor = new Changes(cursors.generateCursorId(), namespace, aggregation, after);
        cursors.add(cursor);
        return cursor;
    }

    /** Put the token of where it stands into the cursor's part of an answer, if it is one of ours. */
    static void mark(Document answer, CursorRegistry cursors) {
        long id = ((Number) answer.getOrDefault("id", 0L)).longValue();
        // An unknown id is an error to the registry, and 0 is the id of a cursor that has ended.
        Cursor cursor = id == 0 ? null : cursors.getCursor(id);
        if (cursor instanceof Changes) {
            answer.put("postBatchResumeToken", token(((Changes) cursor).after, BETWEEN_EVENTS));
        }
    }

    private synchronized void add(String operation, String namespace, Object id) {
        time = Math.max(time + 1, System.currentTimeMillis() / 1000 << 32);
        Document event = new Document("_id", token(time, OF_EVENT));
        event.append("operationType", operation).append("clusterTime", new BsonTimestamp(time));
        event.append("ns", namespace);
        if (id != null) {
            event.append("documentKey", new Document("_id", id));
        }
        events.add(event);
        if (events.size() > KEPT) {
            forgotten = timeOf(events.remove());
        }
    }

    /** Up to so many events of a namespace after a time; the time up to which there are no more. */
    private synchronized long read(Changes cursor, int count, List<Document> found) {
        if (cursor.after < forgotten) {
            throw new MongoServerError(HISTORY_LOST, "ChangeStreamHistoryLost",
                    "Resume of change stream was not possible, as the resume point may no longer"
                            + " be in the oplog.");
        }
        for (Document event : events) {
            if (timeOf(event) <= cursor.after || !event.get("ns").equals(cursor.namespace)) {
                continue;
            }
            if (count > 0 && found.size() == count) {
                return timeOf(found.get(count - 1));
            }
            found.add(event);
        }
        return Math.max(time, cursor.after);
    }

    /** The time of a token; one of an event must be of one that was. */
    private synchronized long known(String token) {
        long after = Long.parseUnsignedLong(token.substring(2, 18), 16);
        boolean found = after < forgotten || !token.endsWith(OF_EVENT);
        for (Document event : events) {
            found |= timeOf(event) == after;
        }
        if (!found) {
            throw new MongoServerError(FATAL, "ChangeStreamFatalError",
                    "cannot resume stream; the resume token was not found.");
        }
        return after;
    }

    private static long timeOf(Document event) {
        return ((BsonTimestamp) event.get("clusterTime")).getValue();
    }

    private static Document token(long time, String kind) {
        return new Document("_data", String.format("82%016X%s", time, kind));
    }

    /** What happened to one collection, from a time on; it waits for nothing. */
    private final class Changes extends AbstractCursor {
        private final String namespace;
        private final Aggregation aggregation;
        private long after;

        Changes(long id, String namespace, Aggregation aggregation, long after) {
            super(id);
            this.namespace = namespace;
            this.aggregation = aggregation;
            this.after = after;
        }

        @Override
        public boolean isEmpty() {
            return false;
        }

        @Override
        public List<Document> takeDocuments(int count) {
            List<Document> found = new ArrayList<>();
            after = read(this, count, found);
            return aggregation.runStages(found.stream());
        }
    }
}
