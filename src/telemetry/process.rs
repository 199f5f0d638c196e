//! The `process_*` metrics, read from `/proc/self`.

use std::fs;

/// What the kernel says about this process. A field that cannot be read is none, and its metric absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ProcessFigures {
    /// Processor time in user and kernel mode, in seconds.
    pub cpu_seconds: Option<f64>,
    /// When it started, in seconds since 1970.
    pub start_time_seconds: Option<f64>,
    /// Virtual memory.
    pub virtual_bytes: Option<f64>,
    /// Memory in RAM.
    pub resident_bytes: Option<f64>,
    /// Threads.
    pub threads: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<f64>,
    /// The limit on them.
    pub max_fds: Option<f64>,
}

/// Units that `/proc` counts in, from the auxiliary vector.
struct Units {
    ticks_per_second: f64,
    page_bytes: f64,
}

/// Reads the figures now.
pub fn figures() -> ProcessFigures {
    let units = units(&fs::read("/proc/self/auxv").unwrap_or_default());
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let boot = fs::read_to_string("/proc/stat").ok().and_then(|text| boot_time(&text));
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let mut figures = from_stat(&stat, boot, &units);
    figures.open_fds = fs::read_dir("/proc/self/fd").ok().map(|entries| entries.count() as f64);
    figures.max_fds = max_fds(&limits);
    figures
}

/// `AT_PAGESZ` (6) and `AT_CLKTCK` (17); see getauxval(3).
fn units(auxv: &[u8]) -> Units {
    let mut units = Units { ticks_per_second: 100.0, page_bytes: 4096.0 };
    let word = |bytes: &[u8]| bytes.try_into().map(usize::from_ne_bytes).unwrap_or(0);
    let size = size_of::<usize>();
    for pair in auxv.chunks_exact(2 * size) {
        let (key, value) = pair.split_at(size);
        match (word(key), word(value)) {
            (6, value) if value > 0 => units.page_bytes = value as f64,
            (17, value) if value > 0 => units.ticks_per_second = value as f64,
            _ => {}
        }
    }
    units
}

/// Fields of proc_pid_stat(5); the program's name may hold blanks and parentheses, so counting starts after the last `)`.
fn from_stat(stat: &str, boot: Option<f64>, units: &Units) -> ProcessFigures {
    let fields: Vec<f64> = stat
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_whitespace().map(|field| field.parse().unwrap_or(0.0)).collect()
        })
        .unwrap_or_default();
    // Field 3 of the manual page stands first here.
    let field = |number: usize| fields.get(number - 3).copied();
    ProcessFigures {
        cpu_seconds: field(14)
            .zip(field(15))
            .map(|(user, sys)| (user + sys) / units.ticks_per_second),
        start_time_seconds: boot
            .zip(field(22))
            .map(|(boot, ticks)| boot + ticks / units.ticks_per_second),
        virtual_bytes: field(23),
        resident_bytes: field(24).map(|pages| pages * units.page_bytes),
        threads: field(20),
        open_fds: None,
        max_fds: None,
    }
}

fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

fn max_fds(limits: &str) -> Option<f64> {
    limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))?
        .split_whitespace()
        .next()?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_parentheses_does_not_shift_the_fields() {
        let stat = "7 (a) (b) S 1 2 3 4 5 6 7 8 9 10 250 150 13 14 15 16 9 18 3000 8192 3 21";
        let units = Units { ticks_per_second: 100.0, page_bytes: 4096.0 };
        let figures = from_stat(stat, Some(1000.0), &units);
        assert_eq!(figures.cpu_seconds, Some(4.0));
        assert_eq!(figures.threads, Some(9.0));
        assert_eq!(figures.start_time_seconds, Some(1030.0));
        assert_eq!(figures.virtual_bytes, Some(8192.0));
        assert_eq!(figures.resident_bytes, Some(12288.0));
    }

    #[test]
    fn this_process_has_threads_memory_and_open_files() {
        let figures = figures();
        assert!(figures.threads >= Some(1.0), "{figures:?}");
        assert!(figures.resident_bytes > Some(100_000.0), "{figures:?}");
        assert!(
            figures.open_fds >= Some(3.0) && figures.max_fds >= figures.open_fds,
            "{figures:?}"
        );
    }
}
