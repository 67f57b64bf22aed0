//! The file that keeps revocations, denied ranges and endpoints over a restart.
//!
//! Invariants: the file always holds one whole state: a new one is written beside it, synced and
//! renamed over it. What cannot be read stops the start; it is never taken for an empty state.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use serde::{Deserialize, Serialize};

use super::records::Records;
use crate::auth::{Fingerprint, Revocation, RevocationTarget};
use crate::broker::{BrokerError, Denied};
use crate::resource::Endpoint;

const FILE_NAME: &str = "state.json";
const VERSION: u32 = 1;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The path cannot be made, opened or read.
    #[error("the state in {path} cannot be read")]
    Unreadable {
        /// The file or directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file is no state.
    #[error(
        "the state in {path} is damaged: restore it, or remove it and with it every revocation"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A newer Pogo wrote it.
    #[error("the state in {path} is of version {version}, newer than {VERSION}")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
    },
}

/// Where the state is.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    /// `path` is a file that exists or ends in `.json`, else the directory of `state.json`.
    /// Directories are made if they are missing.
    pub(super) fn open(path: &Path) -> Result<Self, StateError> {
        let named = path.extension().is_some_and(|end| end == "json") && !path.is_dir();
        let path = if named || path.is_file() {
            path.to_owned()
        } else {
            path.join(FILE_NAME)
        };
        let directory = directory(&path);
        fs::create_dir_all(directory).map_err(|source| StateError::Unreadable {
            path: directory.into(),
            source,
        })?;
        Ok(Self { path })
    }

    /// What the file holds; nothing if there is none.
    pub(super) fn read(&self) -> Result<Records, StateError> {
        let path = || self.path.clone();
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Records::default()),
            Err(source) => {
                return Err(StateError::Unreadable {
                    path: path(),
                    source,
                });
            }
        };
        let damaged = |source| StateError::Damaged {
            path: path(),
            source,
        };
        // The version first: of a newer one the rest may look different.
        let Header { pogo_state } = serde_json::from_slice(&text).map_err(damaged)?;
        if pogo_state > u64::from(VERSION) {
            return Err(StateError::Newer {
                path: path(),
                version: pogo_state,
            });
        }
        let state: State = serde_json::from_slice(&text).map_err(damaged)?;
        state.into_records().map_err(damaged)
    }

    /// Replaces what the file holds.
    pub(super) fn write(&self, records: &Records) -> Result<(), BrokerError> {
        let temporary = self.path.with_extension("json.tmp");
        let written = self.replace(&temporary, records);
        if written.is_err() {
            // Best effort: what is left of it is in nobody's way.
            let _: io::Result<()> = fs::remove_file(&temporary);
        }
        written.map_err(|source| BrokerError::State {
            path: self.path.clone(),
            source,
        })
    }

    fn replace(&self, temporary: &Path, records: &Records) -> io::Result<()> {
        match fs::remove_file(temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        // Made anew, for its owner only: it names subjects and holds secrets of endpoints.
        let mut options = OpenOptions::new();
        let file = options
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(temporary)?;
        write_to(file, records)?;
        fs::rename(temporary, &self.path)?;
        // The rename itself is durable once the directory is.
        File::open(directory(&self.path))?.sync_all()
    }
}

fn directory(file: &Path) -> &Path {
    match file.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Writes and syncs a whole state.
pub(super) fn write_to(file: File, records: &Records) -> io::Result<()> {
    let mut writer = BufWriter::new(file);
    serde_json::to_writer(&mut writer, &State::of(records))?;
    writer.write_all(b"\n")?;
    let file = writer
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    file.sync_all()
}

#[derive(Deserialize)]
struct Header {
    pogo_state: u64,
}

#[derive(Serialize, Deserialize)]
struct State {
    pogo_state: u32,
    revocations: Vec<RevocationRow>,
    denied: Vec<DeniedRow>,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Serialize, Deserialize)]
struct RevocationRow {
    id: Box<str>,
    #[serde(flatten)]
    target: TargetRow,
    reason: Box<str>,
    created_at_ms: u64,
    expires_at_ms: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "target", rename_all = "snake_case")]
enum TargetRow {
    Session {
        session: String,
        /// What earlier versions wrote: one at most.
        #[serde(default, skip_serializing)]
        token: Option<String>,
        #[serde(default)]
        tokens: Vec<String>,
    },
    TokenId {
        token_id: Box<str>,
    },
    Subject {
        subject: Box<str>,
        issued_until: u64,
    },
}

#[derive(Serialize, Deserialize)]
struct DeniedRow {
    range: String,
    reason: Box<str>,
    expires_at_ms: Option<u64>,
}

impl State {
    fn of(records: &Records) -> Self {
        let denied = records.denied.values().map(|denied| DeniedRow {
            range: denied.range.to_string(),
            reason: denied.reason.clone(),
            expires_at_ms: denied.expires_at.map(millis),
        });
        Self {
            pogo_state: VERSION,
            revocations: records.revocations.values().map(row).collect(),
            denied: denied.collect(),
            endpoints: records.endpoints.values().cloned().collect(),
        }
    }

    fn into_records(self) -> Result<Records, serde_json::Error> {
        let mut records = Records::default();
        for row in self.revocations {
            let record = Revocation {
                target: target(row.target)?,
                id: row.id,
                reason: row.reason,
                created_at: Duration::from_millis(row.created_at_ms),
                expires_at: Duration::from_millis(row.expires_at_ms),
            };
            records.revocations.insert(record.id.clone(), record);
        }
        for row in self.denied {
            let range = row.range.parse().map_err(serde::de::Error::custom)?;
            let denied = Denied {
                range,
                reason: row.reason,
                expires_at: row.expires_at_ms.map(Duration::from_millis),
            };
            records.denied.insert(range, denied);
        }
        let endpoints = self.endpoints.into_iter();
        records.endpoints = endpoints.map(|row| (row.name.clone(), row)).collect();
        Ok(records)
    }
}

fn row(record: &Revocation) -> RevocationRow {
    let target = match &record.target {
        RevocationTarget::Session { session, tokens } => TargetRow::Session {
            session: session.to_string(),
            token: None,
            tokens: tokens
                .iter()
                .map(|token| STANDARD_NO_PAD.encode(token))
                .collect(),
        },
        RevocationTarget::TokenId(id) => TargetRow::TokenId {
            token_id: id.clone(),
        },
        RevocationTarget::Subject {
            subject,
            issued_until,
        } => TargetRow::Subject {
            subject: subject.clone(),
            issued_until: *issued_until,
        },
    };
    RevocationRow {
        id: record.id.clone(),
        target,
        reason: record.reason.clone(),
        created_at_ms: millis(record.created_at),
        expires_at_ms: millis(record.expires_at),
    }
}

fn target(row: TargetRow) -> Result<RevocationTarget, serde_json::Error> {
    use serde::de::Error;
    Ok(match row {
        TargetRow::Session {
            session,
            token,
            tokens,
        } => RevocationTarget::Session {
            session: session.parse().map_err(Error::custom)?,
            tokens: tokens
                .iter()
                .chain(&token)
                .map(|token| fingerprint(token))
                .collect::<Result<_, _>>()?,
        },
        TargetRow::TokenId { token_id } => RevocationTarget::TokenId(token_id),
        TargetRow::Subject {
            subject,
            issued_until,
        } => RevocationTarget::Subject {
            subject,
            issued_until,
        },
    })
}

fn fingerprint(text: &str) -> Result<Fingerprint, serde_json::Error> {
    use serde::de::Error;
    let bytes = STANDARD_NO_PAD.decode(text).map_err(Error::custom)?;
    Fingerprint::try_from(bytes).map_err(|_| Error::custom("a fingerprint has 16 bytes"))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
