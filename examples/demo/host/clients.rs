//! Starts one client program per language and reads what it counted.

use serde::Deserialize;
use std::{collections::BTreeMap, ffi::OsString, process::Stdio, time::Duration};
use tokio::{
    io::AsyncReadExt,
    process::{Child, Command},
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
        let mut child = self.start(arguments)?;
        let mut said = String::new();
        let finish = async {
            if let Some(mut out) = child.stdout.take() {
                out.read_to_string(&mut said).await.map_err(|e| e.to_string())?;
            }
            child.wait().await.map_err(|e| e.to_string())
        };
        let status = tokio::time::timeout(PATIENCE, finish)
            .await
            .map_err(|_| format!("{}: no end after {PATIENCE:?}", self.language))??;
        if !status.success() {
            return Err(format!("{}: {status}", self.language));
        }
        serde_json::from_str(said.trim()).map_err(|e| format!("{}: {e}: {said:?}", self.language))
    }

    /// Starts the program; it is killed when the handle is dropped.
    pub(crate) fn start(&self, arguments: &[String]) -> Result<Child, String> {
        Command::new(&self.command[0])
            .args(&self.command[1..])
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| format!("{}: {:?} did not start: {e}", self.language, self.command[0]))
    }
}
