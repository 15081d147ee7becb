//! The service over a plain socket: replies, streams, and every fault as its client sees it.

use std::io::{Read as _, Write as _};
use std::time::Instant;

use super::*;

/// Sends a turn's request and returns all bytes that came back, and how it ended.
fn ask(api: &FakeApi, asked: &Value) -> (String, io::Result<usize>) {
    let mut stream = send(api, asked);
    let mut reply = Vec::new();
    let end = stream.read_to_end(&mut reply);
    (String::from_utf8(reply).unwrap(), end)
}

fn send(api: &FakeApi, asked: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(api.address).unwrap();
    let body = asked.to_string();
    let length = body.len();
    write!(
        stream,
        "POST /v1/messages?beta=true HTTP/1.1\r\nX-App: cli\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .unwrap();
    stream
}

fn main_request(prompt: &str) -> Value {
    json!({"model": "m", "stream": true, "tools": [{}], "messages": [{"role": "user", "content": prompt}]})
}

fn with(effect: Effect) -> FakeApi {
    FakeApi::start(Scenario::new([Turn::say("hello")]).fault(Fault::new(effect)))
}

#[test]
fn streams_a_turn_and_logs_it() {
    let api = FakeApi::start(Scenario::new([Turn { text: "I write".to_owned(), ..Turn::write("a", "x") }]));
    let (reply, _) = ask(&api, &main_request("working directory: /w<"));
    assert!(reply.starts_with("HTTP/1.1 200 OK\r\n") && reply.ends_with("0\r\n\r\n"), "{reply}");
    let data = reply.lines().filter_map(|line| line.strip_prefix("data: "));
    let events = data.map(|data| serde_json::from_str::<Value>(data).unwrap()).collect::<Vec<_>>();
    let input = events.iter().filter_map(|event| event["delta"]["partial_json"].as_str()).collect::<String>();
    assert_eq!(serde_json::from_str::<Value>(&input).unwrap(), json!({"file_path": "/w/a", "content": "x"}));
    assert_eq!(events[events.len() - 2]["delta"]["stop_reason"], "tool_use");

    let [request] = api.requests().try_into().unwrap();
    assert_eq!((request.kind, request.model.as_str(), request.status), (Kind::Main, "m", Some(200)));
    assert_eq!(request.target, "POST /v1/messages");
    assert_eq!(request.headers["x-app"], "cli");
    assert!(request.body.contains("working directory"));
    assert_eq!(api.sent_usage(), Sent { tokens: Turn::say("").usage, replies: 1 });
}

#[test]
fn scripts_are_chosen_by_prompt_and_other_requests_answered() {
    let api = FakeApi::start(Scenario::new([Turn::say("plain")]).script("special", [Turn::say("other")]));
    assert!(ask(&api, &main_request("a special prompt")).0.contains("other"));
    assert!(ask(&api, &main_request("a prompt")).0.contains("plain"));
    let (side, _) = ask(&api, &json!({"model": "m", "messages": []}));
    let body = serde_json::from_str::<Value>(side.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(body["stop_reason"], "end_turn");

    let mut stream = TcpStream::connect(api.address).unwrap();
    stream
        .write_all(b"POST /v1/messages/count_tokens HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n")
        .unwrap();
    stream.write_all(b"3\r\n{  \r\n5\r\n    }\r\n0\r\n\r\n").unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    assert!(reply.ends_with(r#"{"input_tokens":2}"#), "{reply}");
    assert_eq!(api.requests().iter().map(|r| r.kind).collect::<Vec<_>>()[2..], [Kind::Side, Kind::Other]);
    assert_eq!(api.sent_usage().replies, 3);
}

#[test]
fn faults_meet_the_requests_that_they_name() {
    let overloaded = Fault {
        requests: 2..=2,
        model: Some("m".to_owned()),
        ..Fault::new(Effect::error(529, "overloaded_error", "Overloaded"))
    };
    let headers = vec![("retry-after".to_owned(), "7".to_owned())];
    let limited = Effect::Status { status: 429, headers, body: json!({}) };
    let api = FakeApi::start(Scenario::new([]).fault(overloaded).fault(Fault {
        on: On::All,
        requests: 3..=3,
        ..Fault::new(limited)
    }));
    let replies = [(); 4].map(|()| ask(&api, &main_request("p")).0);
    assert!(replies[1].contains("overloaded_error"));
    assert!(replies[2].contains("retry-after: 7\r\n"));
    let statuses = api.requests().iter().map(|request| request.status).collect::<Vec<_>>();
    assert_eq!(statuses, [200, 529, 429, 200].map(Some));
    assert_eq!(api.sent_usage().replies, 2);
}

#[test]
fn a_connection_can_be_reset_or_a_stream_cut_or_fail() {
    let (reply, end) = ask(&with(Effect::Reset), &main_request("p"));
    assert_eq!((reply.as_str(), end.unwrap_err().kind()), ("", io::ErrorKind::ConnectionReset));

    let api = with(Effect::CutAfter(2));
    let (reply, _) = ask(&api, &main_request("p"));
    assert!(
        reply.contains("event: ping") && !reply.contains("event: content") && !reply.ends_with("0\r\n\r\n")
    );
    assert_eq!(api.sent_usage(), Sent::default());

    let (reply, _) = ask(&with(Effect::ErrorAfter(3)), &main_request("p"));
    assert!(
        reply.contains("event: error") && reply.ends_with("0\r\n\r\n") && !reply.contains("message_stop")
    );
}

#[test]
fn silence_lasts_until_the_client_or_the_service_ends() {
    let api = with(Effect::Hang);
    let mut first = send(&api, &main_request("p"));
    assert_eq!(api.requests_after(1, Duration::from_secs(10)).len(), 1);
    let left = send(&api, &main_request("p"));
    assert_eq!(api.requests_after(2, Duration::from_secs(10)).len(), 2);
    drop(left);
    drop(api);
    // Nothing came before the service ended: an end of file or a reset, as the kernel sees it.
    let mut reply = Vec::new();
    let _ = first.read_to_end(&mut reply);
    assert!(reply.is_empty());

    let api = with(Effect::StallAfter(2));
    let mut stalled = send(&api, &main_request("p"));
    let mut reply = Vec::new();
    while !String::from_utf8_lossy(&reply).contains("event: ping") {
        let mut byte = [0];
        assert_eq!(stalled.read(&mut byte).unwrap(), 1);
        reply.extend(byte);
    }
    drop(api);
    let _ = stalled.read_to_end(&mut reply);
    assert!(!String::from_utf8_lossy(&reply).contains("event: content"));
}

#[test]
fn delays_and_drips_take_their_time() {
    let delay = Duration::from_millis(40);
    let drip = Fault::new(Effect::Drip(Duration::from_millis(10)));
    let api = FakeApi::start(Scenario::new([Turn { delay, ..Turn::bash("true") }]).fault(drip));
    let start = Instant::now();
    let (reply, _) = ask(&api, &main_request("p"));
    let events = u32::try_from(reply.matches("event: ").count()).unwrap();
    assert!(start.elapsed() >= delay + Duration::from_millis(10) * (events - 1));
    assert_eq!(api.sent_usage().replies, 1);
}
