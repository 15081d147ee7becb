//! What an agent may throw at the reader of its standard output: too much, no lines, bytes that drive a terminal.

use std::io::{self, BufRead as _, BufReader, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use fs_err as fs;

const MIB: u64 = 1024 * 1024;
const LINE: usize = 64;
/// A block is what one write takes: a typical pipe's size, and a divisor of a MiB.
const BLOCK: usize = 64 * 1024;

/// ESC colours, a cursor jump, a title, an OSC 8 link, an OSC 52 clipboard write; C1 (as UTF-8 and as a bare byte);
/// bidi overrides and isolates; CR, BEL, BS, NUL; invalid and cut UTF-8.
const ESCAPES: &[u8] = b"\x1b[31mred\x1b[0m\x1b[2J\x1b[1;1H\x1b]0;title\x07\n\
    \x1b]8;;http://127.0.0.1/\x1b\\link\x1b]8;;\x1b\\\n\
    \x1b]52;c;d3Q=\x07clipboard\n\
    c1 \xc2\x9b31m \x9b31m\n\
    bidi \xe2\x80\xaecba\xe2\x80\xac \xe2\x81\xa6isolate\xe2\x81\xa9\n\
    progress\roverwritten\x07\x08 nul[\x00] del[\x7f]\n\
    invalid \xff\xfe \xc3( \xe2\x82\n\
    after-escapes\n";

/// How much a flood is.
#[derive(Debug, Clone, Copy)]
pub enum Amount {
    /// So many MiB.
    Mib(u64),
    /// As much as is taken in so long.
    For(Duration),
}

/// Writes lines without end, or nearly.
pub fn flood(amount: Amount) -> io::Result<()> {
    let mut line = [b'y'; LINE];
    line[LINE - 1] = b'\n';
    let mut out = io::stdout().lock();
    writeln!(out, "flood-begin")?;
    blocks(&mut out, &line.repeat(BLOCK / LINE), amount)?;
    writeln!(out, "flood-end")?;
    out.flush()
}

/// Writes `mib` MiB that are one unfinished line.
pub fn no_newline(mib: u64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    blocks(&mut out, &vec![b'x'; BLOCK], Amount::Mib(mib))?;
    out.flush()
}

fn blocks(out: &mut impl Write, block: &[u8], amount: Amount) -> io::Result<()> {
    let start = Instant::now();
    let mut written = 0;
    loop {
        let enough = match amount {
            Amount::Mib(mib) => written >= mib * MIB,
            Amount::For(time) => start.elapsed() >= time,
        };
        if enough {
            return Ok(());
        }
        out.write_all(block)?;
        written += BLOCK as u64;
    }
}

/// Writes everything that a terminal should never be given from a log, and a plain last line.
pub fn escapes() -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(ESCAPES)?;
    out.flush()
}

/// Writes a recorded stream, one write a line as an agent does.
pub fn replay(path: &Path) -> io::Result<()> {
    let mut recorded = BufReader::new(fs::File::open(path)?);
    let mut out = io::stdout().lock();
    let mut line = Vec::new();
    while recorded.read_until(b'\n', &mut line)? > 0 {
        out.write_all(&line)?;
        out.flush()?;
        line.clear();
    }
    Ok(())
}
