//! A scripted stand-in for the Anthropic Messages API and the OpenAI Responses API, so that a test drives a REAL agent CLI with no network and no key.
//!
//! Invariant: it listens on 127.0.0.1 and nothing else, and everything of it has ended when it is dropped. It must not
//! keep a conversation: see [`Scenario`].

mod http;
mod messages;
mod responses;
mod scenario;

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};
use wt::model::usage::Tokens;

pub use responses::error_body as openai_error;
pub use scenario::{Effect, Fault, On, Scenario, Turn};

/// Longer than any test: a hang ends when its client or its server does.
const HANG: Duration = Duration::from_secs(3600);

/// What a request was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A turn of the agent: it offers tools.
    Main,
    /// A message without tools: a title, a summary.
    Side,
    /// Anything else: a token count, a probe.
    Other,
}

/// A request that came in, and what became of it.
#[derive(Debug, Clone)]
pub struct Request {
    /// What it was for.
    pub kind: Kind,
    /// Method and path, as `POST /v1/messages`.
    pub target: String,
    /// The model that it asked for; empty if none.
    pub model: String,
    /// Headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body as text.
    pub body: String,
    /// The status that was chosen; `None` where a fault of the connection came first.
    pub status: Option<u16>,
    /// What was charged, if the reply went out whole.
    pub charged: Option<Tokens>,
}

/// What the service charged in all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// The tokens of all replies that were sent whole.
    pub tokens: Tokens,
    /// How many those were.
    pub replies: usize,
}

#[derive(Debug, Default)]
struct Connections {
    ended: bool,
    open: HashMap<usize, TcpStream>,
}

#[derive(Debug)]
struct Service {
    scenario: Scenario,
    log: Mutex<Vec<Request>>,
    logged: Condvar,
    connections: Mutex<Connections>,
}

/// A running service.
#[derive(Debug)]
pub struct FakeApi {
    address: SocketAddr,
    service: Arc<Service>,
    listener: Option<JoinHandle<()>>,
}

impl FakeApi {
    /// Starts the service on a free port of the loopback interface.
    pub fn start(scenario: Scenario) -> Self {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("the loopback interface has a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let service = Arc::new(Service {
            scenario,
            log: Mutex::default(),
            logged: Condvar::new(),
            connections: Mutex::default(),
        });
        let listener = std::thread::spawn({
            let service = Arc::clone(&service);
            move || service.listen(&listener)
        });
        Self { address, service, listener: Some(listener) }
    }

    /// Returns the base URL, for `ANTHROPIC_BASE_URL`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns every request so far, in the order of arrival.
    pub fn requests(&self) -> Vec<Request> {
        held(&self.service.log).clone()
    }

    /// Waits until `count` requests have come in and returns all, fewer if that took longer than `deadline`.
    pub fn requests_after(&self, count: usize, deadline: Duration) -> Vec<Request> {
        let log = held(&self.service.log);
        let waited = self.service.logged.wait_timeout_while(log, deadline, |log| log.len() < count);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }

    /// Returns what was charged so far. A reply that a fault cut short counts for nothing here.
    pub fn sent_usage(&self) -> Sent {
        let log = held(&self.service.log);
        log.iter().filter_map(|request| request.charged).fold(Sent::default(), |mut sent, tokens| {
            sent.tokens.input += tokens.input;
            sent.tokens.output += tokens.output;
            sent.tokens.cache_read += tokens.cache_read;
            sent.tokens.cache_write += tokens.cache_write;
            sent.replies += 1;
            sent
        })
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        let mut connections = held(&self.service.connections);
        connections.ended = true;
        for stream in connections.open.values() {
            let _ = stream.shutdown(std::net::Shutdown::Both);
        }
        drop(connections);
        // The listener waits for a connection: this one tells it to look.
        let _ = TcpStream::connect(self.address);
        if let Some(listener) = self.listener.take() {
            let _ = listener.join();
        }
    }
}

/// A test that panicked with the lock held has failed already; the others go on.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Service {
    fn listen(self: &Arc<Self>, listener: &TcpListener) {
        let mut serving = Vec::<JoinHandle<()>>::new();
        for (number, stream) in listener.incoming().enumerate() {
            let Ok(stream) = stream else { continue };
            let mut connections = held(&self.connections);
            if connections.ended {
                break;
            }
            let Ok(copy) = stream.try_clone() else { continue };
            connections.open.insert(number, copy);
            drop(connections);
            let service = Arc::clone(self);
            serving.retain(|thread| !thread.is_finished());
            serving.push(std::thread::spawn(move || {
                // An error here is a client that left, which is its right.
                let _ = service.serve(&stream);
                // The connection closes with its last descriptor, so the copy goes first.
                held(&service.connections).open.remove(&number);
                drop(stream);
            }));
        }
        for thread in serving {
            let _ = thread.join();
        }
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        let incoming = http::read(&mut BufReader::new(stream))?;
        let body = String::from_utf8_lossy(&incoming.body).into_owned();
        let asked = serde_json::from_str::<Value>(&body).unwrap_or_default();
        let openai = incoming.path.ends_with("/v1/responses");
        let known = openai || incoming.path.ends_with("/v1/messages");
        let kind = match (known, asked["tools"].as_array()) {
            (false, _) => Kind::Other,
            (true, Some(tools)) if !tools.is_empty() => Kind::Main,
            (true, _) => Kind::Side,
        };
        let model = asked["model"].as_str().unwrap_or_default().to_owned();
        let (entry, number) = self.note(Request {
            kind,
            target: format!("{} {}", incoming.method, incoming.path),
            model: model.clone(),
            headers: incoming.headers,
            body: body.clone(),
            status: None,
            charged: None,
        });
        let (on, turn) = match kind {
            Kind::Other => {
                self.chose(entry, 200);
                let answer = json!({"input_tokens": body.len() / 4});
                return http::reply(stream, 200, &[], answer.to_string().as_bytes());
            }
            Kind::Main if openai => {
                let position = responses::position(asked["input"].as_array().map_or(&[], Vec::as_slice));
                (On::Main, self.scenario.turn(&position.prompt, position.replies))
            }
            Kind::Main => {
                let position = messages::position(asked["messages"].as_array().map_or(&[], Vec::as_slice));
                let turn = self.scenario.turn(&position.prompt, position.replies);
                (On::Main, messages::filled(turn, messages::working_directory(&body)))
            }
            Kind::Side => (On::Side, Turn::say(r#"{"isNewTopic": true, "title": "scripted"}"#)),
        };
        let effect = self.scenario.effect(on, number, &model);
        match effect {
            Some(Effect::Reset) => return http::reset(stream),
            Some(Effect::Hang) => return http::idle(stream, HANG),
            Some(Effect::Status { status, headers, body }) => {
                self.chose(entry, *status);
                return http::reply(stream, *status, headers, body.to_string().as_bytes());
            }
            _ => {}
        }
        self.chose(entry, 200);
        http::idle(stream, turn.delay)?;
        if asked["stream"] == true {
            let charge = || self.charged(entry, turn.usage);
            let events =
                if openai { responses::events(&turn, &model) } else { messages::events(&turn, &model) };
            stream_turn(stream, &events, effect, charge)
        } else {
            self.charged(entry, turn.usage);
            http::reply(stream, 200, &[], messages::message(&turn, &model).to_string().as_bytes())
        }
    }

    /// Logs a request and returns its place in the log and its number among those of its kind, from 1.
    fn note(&self, request: Request) -> (usize, usize) {
        let mut log = held(&self.log);
        let number = 1 + log.iter().filter(|earlier| earlier.kind == request.kind).count();
        log.push(request);
        self.logged.notify_all();
        (log.len() - 1, number)
    }

    fn chose(&self, entry: usize, status: u16) {
        held(&self.log)[entry].status = Some(status);
    }

    /// Called just before the last bytes go: a client that has them finds the log complete.
    fn charged(&self, entry: usize, tokens: Tokens) {
        held(&self.log)[entry].charged = Some(tokens);
    }
}

/// Sends the events and calls `charge` before the last; an error if a fault kept the stream from its end.
fn stream_turn(
    stream: &TcpStream,
    events: &[Value],
    effect: Option<&Effect>,
    charge: impl Fn(),
) -> io::Result<()> {
    http::start_stream(stream, &messages::request_id())?;
    for (sent, event) in events.iter().enumerate() {
        match effect {
            Some(Effect::CutAfter(n)) if sent >= *n => return Err(io::ErrorKind::ConnectionAborted.into()),
            Some(Effect::StallAfter(n)) if sent >= *n => {
                http::idle(stream, HANG)?;
                return Err(io::ErrorKind::TimedOut.into());
            }
            Some(Effect::ErrorAfter(n)) if sent >= *n => {
                let error = scenario::error_body("overloaded_error", "Overloaded");
                http::event(stream, "error", &error.to_string())?;
                http::end_stream(stream)?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Effect::Drip(time)) if sent > 0 => http::idle(stream, *time)?,
            _ => {}
        }
        if sent + 1 == events.len() {
            charge();
        }
        http::event(stream, event["type"].as_str().unwrap_or_default(), &event.to_string())?;
    }
    http::end_stream(stream)
}

#[cfg(test)]
mod tests;
