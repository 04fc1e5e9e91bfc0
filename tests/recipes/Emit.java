// Emits from Java, with Kafka's own client (org.apache.kafka:kafka-clients). usage: java -cp kafka-clients.jar:slf4j-api.jar Emit.java BROKERS ROOM
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import java.util.Map;
import java.util.UUID;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.Producer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.StringSerializer;

public class Emit {
    private final Producer<String, String> producer;

    Emit(String brokers) {
        producer = new KafkaProducer<>(Map.of("bootstrap.servers", brokers), new StringSerializer(), new StringSerializer());
    }

    /** data: {"event", "args", …} as JSON. */
    void emit(String topic, String key, String data) throws Exception {
        ProducerRecord<String, String> record = new ProducerRecord<>(topic, key, data);
        record.headers().add("ce_type", "tern.emit".getBytes(StandardCharsets.UTF_8));
        record.headers().add("ce_id", UUID.randomUUID().toString().getBytes(StandardCharsets.UTF_8));
        producer.send(record).get();
    }

    public static void main(String[] args) throws Exception {
        String room = args[1];
        Emit tern = new Emit(args[0]);
        String png = Base64.getEncoder().encodeToString(new byte[] {(byte) 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'});
        // To everybody in the room, durable: who is away gets it when he comes back.
        tern.emit("chat.events", room, "{\"event\":\"order_shipped\",\"args\":[{\"id\":7}]}");
        // To all devices of a user, with bytes.
        tern.emit("chat.events", "user:ada",
                "{\"event\":\"picture\",\"args\":[{\"png\":{\"_placeholder\":true,\"num\":0}}],\"attachments\":[\"" + png + "\"]}");
        // To who is there now, and to nobody later.
        tern.emit("chat.signals", room, "{\"event\":\"progress\",\"args\":[50]}");
        tern.producer.close();
    }
}
