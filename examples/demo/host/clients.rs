//! Starts one client program per language and reads what it counted.

use serde::Deserialize;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    io,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A client that hangs must not hang the demo.
const PATIENCE: Duration = Duration::from_secs(120);

/// A client program: `language=program argument …` on the command line.
pub(crate) struct Program {
    pub(crate) language: String,
    command: Vec<OsString>,
}

/// What a client says of itself in its one line on standard output.
#[derive(Deserialize)]
pub(crate) struct Counted {
    pub(crate) connections: u64,
    pub(crate) bytes_sent: u64,
    pub(crate) bytes_received: u64,
    pub(crate) relay_seconds: f64,
    pub(crate) pipe_bytes: u64,
    pub(crate) pipe_seconds: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) close_reasons: BTreeMap<String, u64>,
}

impl Program {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (language, command) = text.split_once('=')?;
        let command = command.split(' ').map(OsString::from).collect();
        Some(Self { language: language.to_owned(), command })
    }

    /// Runs the program to its end and returns what it counted.
    pub(crate) async fn run(&self, arguments: &[String]) -> Result<Counted, String> {
        let mut client = self.start(arguments)?;
        let (said, status) = tokio::time::timeout(PATIENCE, client.finish())
            .await
            .map_err(|_| format!("{}: no end after {PATIENCE:?}", self.language))?
            .map_err(|e| format!("{}: {e}", self.language))?;
        if !status.success() {
            return Err(format!("{}: {status}", self.language));
        }
        serde_json::from_str(said.trim()).map_err(|e| format!("{}: {e}: {said:?}", self.language))
    }

    /// Starts the program.
    pub(crate) fn start(&self, arguments: &[String]) -> Result<Client, String> {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .map(Client)
            .map_err(|e| format!("{}: {:?} did not start: {e}", self.language, self.command[0]))
    }
}

/// A client that runs; it is killed when the handle is dropped.
pub(crate) struct Client(Child);

impl Client {
    /// What the client says until it ends, and how it ends.
    async fn finish(&mut self) -> io::Result<(String, ExitStatus)> {
        let out = self.0.stdout.take();
        let read = move || out.map_or(Ok(String::new()), io::read_to_string);
        let said = tokio::task::spawn_blocking(read).await??;
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok((said, status));
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // Neither does anything to a client that has ended and was waited for.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
