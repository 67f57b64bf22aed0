//! Another process as Linux sees it: its CPU time, its memory, whether it sleeps.
//!
//! CPU time is the sum of the threads' run times from `schedstat`, exact to the nanosecond for a
//! thread that sleeps; the kernel's split into user and system comes from `stat`, in ticks that
//! are sampled, so it needs some seconds of work to be worth anything.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

/// Nanoseconds of a tick in `/proc/<pid>/stat`: Linux fixes USER_HZ at 100.
const TICK_NANOS: u64 = 10_000_000;
/// How often a process is looked at while it is waited for.
const POLL: Duration = Duration::from_millis(1);
/// So many looks in a row must find it asleep.
const QUIET_LOOKS: u32 = 2;

/// CPU time used up to now, in nanoseconds.
#[derive(Debug, Clone, Default)]
pub(super) struct Cpu {
    pub(super) total: u64,
    /// Sampled by the kernel's tick.
    pub(super) user: u64,
    /// Sampled by the kernel's tick.
    pub(super) system: u64,
    /// By the threads' names, without their numbers.
    pub(super) threads: BTreeMap<String, u64>,
}

impl Cpu {
    /// What was used since `before`.
    pub(super) fn since(&self, before: &Self) -> Self {
        let of = |name: &String| before.threads.get(name).copied().unwrap_or_default();
        Self {
            total: self.total.saturating_sub(before.total),
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            threads: self
                .threads
                .iter()
                .map(|(name, used)| (name.clone(), used.saturating_sub(of(name))))
                .collect(),
        }
    }

    /// The part of the total that the kernel's samples call user time.
    pub(super) fn user_part(&self) -> f64 {
        let sampled = self.user + self.system;
        if sampled == 0 {
            return 0.0;
        }
        self.user as f64 / sampled as f64
    }
}

/// Resident memory in bytes.
#[derive(Debug, Clone, Copy, serde::Serialize)]
pub(super) struct Memory {
    pub(super) resident: u64,
    pub(super) peak: u64,
}

/// A thread of the process, its files held open: a look is one `pread`.
struct Thread {
    name: String,
    schedstat: File,
    stat: File,
    used: u64,
}

/// A process that is watched.
pub(super) struct Process {
    pid: u32,
    threads: BTreeMap<u32, Thread>,
}

impl Process {
    /// # Errors
    /// There is none with this id, or it is not ours to look at.
    pub(super) fn of(pid: u32) -> io::Result<Self> {
        let mut process = Self {
            pid,
            threads: BTreeMap::new(),
        };
        process.find_threads()?;
        Ok(process)
    }

    /// CPU time up to now, threads that have ended meanwhile included as far as they were seen.
    pub(super) fn cpu(&mut self) -> io::Result<Cpu> {
        self.find_threads()?;
        let mut cpu = Cpu::default();
        for thread in self.threads.values_mut() {
            thread.look();
            cpu.total += thread.used;
            *cpu.threads.entry(thread.name.clone()).or_default() += thread.used;
        }
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid))?;
        let ticks = |field| {
            let ticks = after_name(&stat).split(' ').nth(field);
            ticks
                .and_then(|text| text.parse::<u64>().ok())
                .unwrap_or_default()
        };
        // Fields 14 and 15 of proc_pid_stat(5), counted from 3, the first after the name.
        cpu.user = ticks(11) * TICK_NANOS;
        cpu.system = ticks(12) * TICK_NANOS;
        Ok(cpu)
    }

    /// Memory now.
    pub(super) fn memory(&self) -> io::Result<Memory> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let bytes = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|line| line.split_whitespace().next());
            kib.and_then(|kib| kib.parse::<u64>().ok())
                .map_or(0, |kib| kib * 1024)
        };
        Ok(Memory {
            resident: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        })
    }

    /// Lets the peak start again from what is resident now. Where that is not allowed, the peak
    /// stays the one since the process's start.
    pub(super) fn reset_peak(&self) {
        let _ = fs::write(format!("/proc/{}/clear_refs", self.pid), "5");
    }

    /// Sleeps until none of its threads runs or wants to, at most `limit`: whether it came to that.
    pub(super) fn wait_quiet(&mut self, limit: Duration) -> bool {
        let end = Instant::now() + limit;
        let (mut quiet, mut before) = (0, None);
        while Instant::now() < end {
            std::thread::sleep(POLL);
            let used: u64 = self.threads.values_mut().map(|thread| thread.look()).sum();
            let same = before.replace(used) == Some(used);
            if same && !self.threads.values().any(Thread::runs) {
                quiet += 1;
                if quiet == QUIET_LOOKS {
                    return true;
                }
            } else {
                quiet = 0;
            }
        }
        false
    }

    fn find_threads(&mut self) -> io::Result<()> {
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let path = entry?.path();
            let id = path.file_name().and_then(|name| name.to_str());
            let Some(id) = id.and_then(|name| name.parse().ok()) else {
                continue;
            };
            if let Some(thread) = self.threads.get_mut(&id) {
                thread.rename(&path);
                continue;
            }
            // A thread may end while it is looked at.
            if let Ok(thread) = Thread::open(&path) {
                self.threads.insert(id, thread);
            }
        }
        Ok(())
    }
}

impl Thread {
    fn open(path: &std::path::Path) -> io::Result<Self> {
        let mut thread = Self {
            name: String::new(),
            schedstat: File::open(path.join("schedstat"))?,
            stat: File::open(path.join("stat"))?,
            used: 0,
        };
        thread.rename(path);
        Ok(thread)
    }

    /// A thread gets its name some time after it has begun.
    fn rename(&mut self, path: &std::path::Path) {
        if let Ok(name) = fs::read_to_string(path.join("comm")) {
            let numbers = |c: char| c.is_ascii_digit() || c == '-' || c == '\n';
            name.trim_end_matches(numbers).clone_into(&mut self.name);
        }
    }

    /// Reads the run time; that of an ended thread stays what it was.
    fn look(&mut self) -> u64 {
        let mut buffer = [0; 64];
        if let Some(text) = read(&self.schedstat, &mut buffer)
            && let Some(used) = text.split(' ').next().and_then(|text| text.parse().ok())
        {
            self.used = used;
        }
        self.used
    }

    fn runs(&self) -> bool {
        let mut buffer = [0; 128];
        let state = read(&self.stat, &mut buffer).and_then(|text| after_name(text).chars().next());
        matches!(state, Some('R' | 'D' | 'W'))
    }
}

fn read<'a>(file: &File, buffer: &'a mut [u8]) -> Option<&'a str> {
    let length = file.read_at(buffer, 0).ok()?;
    std::str::from_utf8(&buffer[..length]).ok()
}

/// What follows the name, which may hold spaces and brackets itself.
fn after_name(stat: &str) -> &str {
    stat.rsplit_once(") ").map_or("", |(_, rest)| rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_that_works_is_seen_to() {
        let mut own = Process::of(std::process::id()).unwrap();
        let before = own.cpu().unwrap();
        let end = Instant::now() + Duration::from_millis(60);
        while Instant::now() < end {
            std::hint::black_box(before.total);
        }
        let used = own.cpu().unwrap().since(&before);
        assert!(used.total > 0 && !used.threads.is_empty());
        assert!(own.memory().unwrap().resident > 1 << 20);
    }

    #[test]
    fn names_may_hold_brackets() {
        assert_eq!(after_name("1 (a) b) S 1 2"), "S 1 2");
    }
}
