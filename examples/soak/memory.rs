//! The server's resident memory, as Linux tells it.

use std::fmt;
use std::time::Duration;

use super::Failure;

/// Memory may grow by this much and this share of itself while nothing should grow.
const SLACK_BYTES: u64 = 8 * 1024 * 1024;
const SLACK_PERCENT: u64 = 10;

/// The memory of a process.
#[derive(Debug, Clone)]
pub struct Memory {
    status: String,
}

/// Memory when the load had settled, and at its end.
#[derive(Debug)]
pub struct Stable {
    settled: u64,
    end: u64,
}

impl Memory {
    pub fn of(pid: u32) -> Self {
        Self {
            status: format!("/proc/{pid}/status"),
        }
    }

    /// Resident bytes now.
    pub fn bytes(&self) -> Result<u64, Failure> {
        let text = std::fs::read_to_string(&self.status)?;
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next());
        Ok(kib.ok_or("no VmRSS")?.parse::<u64>()? * 1024)
    }

    /// Waits `span`; the memory may not grow after its first third.
    pub async fn stable_during(&self, span: Duration) -> Result<Stable, Failure> {
        tokio::time::sleep(span / 3).await;
        let settled = self.bytes()?;
        tokio::time::sleep(span - span / 3).await;
        let end = self.bytes()?;
        let most = settled + SLACK_BYTES.max(settled / 100 * SLACK_PERCENT);
        let stable = Stable { settled, end };
        if end > most {
            Err(format!("the server grows: {stable}").into())
        } else {
            Ok(stable)
        }
    }
}

impl fmt::Display for Stable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |bytes: u64| bytes / (1024 * 1024);
        write!(
            f,
            "memory {} MiB, at the end {} MiB",
            mib(self.settled),
            mib(self.end)
        )
    }
}
