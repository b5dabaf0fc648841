//! Publishes a `ModelTrained` event to Kafka with rdkafka, in binary mode: `publish BROKERS TOPIC EVENT.json`.
//!
//! `cargo run -p scenarios --example publish -- 127.0.0.1:9092 model-trained examples/flights/v1.json`

use std::error::Error;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::Value;

const WITHIN: Duration = Duration::from_secs(30);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [brokers, topic, file] = arguments.as_slice() else {
        return Err("usage: publish BROKERS TOPIC EVENT.json".into());
    };
    let event: Value = serde_json::from_slice(&std::fs::read(file)?)?;
    // With acks=all and idempotence an event that was acknowledged is kept, once and in order.
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("acks", "all")
        .set("enable.idempotence", "true")
        .create()?;
    // The attributes of the event are headers, its data is the value.
    let mut headers = OwnedHeaders::new();
    for (name, value) in event.as_object().ok_or("expected an event, but it is no object")? {
        let (name, value) = match (name.as_str(), value.as_str()) {
            ("data", _) | (_, None) => continue,
            ("datacontenttype", Some(value)) => ("content-type".to_owned(), value),
            (name, Some(value)) => (format!("ce_{name}"), value),
        };
        headers = headers.insert(Header { key: &name, value: Some(value) });
    }
    let data = event.get("data").ok_or("expected an event with data")?;
    let (key, value) = (data["model"].as_str().unwrap_or_default(), data.to_string());
    let record = BaseRecord::to(topic).key(key).payload(&value).headers(headers);
    producer.send(record).map_err(|(error, _)| error)?;
    producer.flush(WITHIN)?;
    println!("written to {topic}");
    Ok(())
}
