import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.confluent.parallelconsumer.ParallelConsumerOptions;
import io.confluent.parallelconsumer.ParallelConsumerOptions.ProcessingOrder;
import io.confluent.parallelconsumer.ParallelStreamProcessor;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Confluent's Parallel Consumer as its documentation shows it: records of a key in order,
 * those of others beside them. The arguments are those of the contenders in Go.
 */
public class Parallel {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) {
        String brokers = args[0], topic = args[1], group = args[2], key = args[4];
        URI url = URI.create(args[3] + "/v1/server/user/update");
        int concurrency = Integer.parseInt(args[5]);

        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(
                Map.of("bootstrap.servers", brokers, "group.id", group, "auto.offset.reset", "earliest", "enable.auto.commit", "false"),
                new ByteArrayDeserializer(), new ByteArrayDeserializer());
        ParallelStreamProcessor<byte[], byte[]> processor = ParallelStreamProcessor.createEosStreamProcessor(
                ParallelConsumerOptions.<byte[], byte[]>builder()
                        .consumer(consumer)
                        .ordering(ProcessingOrder.KEY)
                        .maxConcurrency(concurrency)
                        .commitInterval(Duration.ofSeconds(1)) // as the others do
                        .build());
        // HTTP/1: the default would try to upgrade each connection.
        HttpClient http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();

        Runtime.getRuntime().addShutdownHook(new Thread(processor::closeDontDrainFirst));
        processor.subscribe(List.of(topic));
        processor.poll(record -> deliver(http, url, key, record.value()));
    }

    private static void deliver(HttpClient http, URI url, String key, byte[] value) {
        try {
            HttpRequest request = HttpRequest.newBuilder(url)
                    .header("Content-Type", "application/json")
                    .header("Accept", "application/json")
                    .header("Server-Key", key)
                    .POST(HttpRequest.BodyPublishers.ofByteArray(payload(value)))
                    .build();
            int status = http.send(request, HttpResponse.BodyHandlers.discarding()).statusCode();
            if (status != 200) {
                throw new IllegalStateException("the vendor answered " + status);
            }
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    /** The body of the call, with the fields in the worker's order. */
    private static byte[] payload(byte[] value) throws Exception {
        JsonNode event = JSON.readTree(value);
        JsonNode row = event.path("payload").isObject() ? event.path("payload").path("after") : event.path("after");
        String phone = row.path("phone").asText(), avatar = row.path("avatar_url").asText();
        ObjectNode body = JSON.createObjectNode();
        body.put("xcUserID", row.path("id").asText());
        body.put("fullName", row.path("full_name").asText());
        body.put("email", row.path("email").asText());
        body.put("phone", phone.startsWith("+") ? phone.substring(1) : phone);
        body.put("username", row.path("username").asText());
        body.put("photoThumbnailURL", avatar);
        body.put("photoFullsizeURL", avatar);
        return JSON.writeValueAsBytes(body);
    }
}
