//! HTTP/1.1 as far as an agent's client needs it, one request a connection.
//!
//! Written out because the faults are faults of the connection: a library that owns the socket cannot reset it, cut a
//! chunked body short or notice that a client which is sent nothing has left.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// A request as it came in.
#[derive(Debug)]
pub struct Incoming {
    /// `POST`, …
    pub method: String,
    /// The path without its query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: BTreeMap<String, String>,
    /// The body, whichever way it was framed.
    pub body: Vec<u8>,
}

/// Reads one request.
pub fn read(from: &mut impl BufRead) -> io::Result<Incoming> {
    let first = line(from)?;
    let mut words = first.split(' ');
    let (Some(method), Some(target)) = (words.next(), words.next()) else {
        return Err(io::ErrorKind::InvalidData.into());
    };
    let path = target.split('?').next().unwrap_or_default().to_owned();
    let mut headers = BTreeMap::new();
    loop {
        let header = line(from)?;
        let Some((name, value)) = header.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("chunked")) {
        while let size @ 1.. = chunk_size(&line(from)?)? {
            from.by_ref().take(size).read_to_end(&mut body)?;
            line(from)?;
        }
        line(from)?;
    } else if let Some(size) = headers.get("content-length") {
        from.by_ref().take(size.parse().map_err(io::Error::other)?).read_to_end(&mut body)?;
    }
    Ok(Incoming { method: method.to_owned(), path, headers, body })
}

fn line(from: &mut impl BufRead) -> io::Result<String> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(line.trim_end().to_owned())
}

fn chunk_size(line: &str) -> io::Result<u64> {
    let digits = line.split(';').next().unwrap_or_default().trim();
    u64::from_str_radix(digits, 16).map_err(io::Error::other)
}

/// Sends a whole reply.
pub fn reply(mut to: &TcpStream, status: u16, headers: &[(String, String)], body: &[u8]) -> io::Result<()> {
    let more = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
    let head = format!(
        "HTTP/1.1 {status} Scripted\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n{}\r\n",
        body.len(),
        more.collect::<Vec<_>>().concat()
    );
    to.write_all(head.as_bytes())?;
    to.write_all(body)
}

/// Starts a stream of server-sent events; each goes out as one chunk.
pub fn start_stream(mut to: &TcpStream, request_id: &str) -> io::Result<()> {
    to.set_nodelay(true)?;
    let head = format!(
        "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: text/event-stream; charset=utf-8\r\n\
         cache-control: no-cache\r\ntransfer-encoding: chunked\r\nrequest-id: {request_id}\r\n\r\n"
    );
    to.write_all(head.as_bytes())
}

/// Sends one event.
pub fn event(mut to: &TcpStream, name: &str, data: &str) -> io::Result<()> {
    let text = format!("event: {name}\ndata: {data}\n\n");
    to.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes())
}

/// Ends a stream as it should end. Without it the client sees a body that was cut short.
pub fn end_stream(mut to: &TcpStream) -> io::Result<()> {
    to.write_all(b"0\r\n\r\n")
}

/// Makes the coming close a reset.
pub fn reset(stream: &TcpStream) -> io::Result<()> {
    rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO))?;
    Ok(())
}

/// Waits in silence for `time`, or until the client leaves or the server ends: then it is an error.
pub fn idle(mut stream: &TcpStream, time: Duration) -> io::Result<()> {
    let start = Instant::now();
    loop {
        let left = time.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut [0]) {
            Ok(0) => return Err(io::ErrorKind::ConnectionAborted.into()),
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
            Err(error) => return Err(error),
        }
    }
}
