//! A story from a seed.

use std::collections::BTreeMap;

use super::random::{Random, mixed};
use super::story::{Down, Edit, Fault, File, Spec, Step, Story, Target, When};
use crate::ids::ScheduleRef;
use crate::instant::Instant;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;
const DAY: u64 = 86_400;

/// Zones, each with a day on which something happens to its clocks.
const ZONES: [(&str, &str); 16] = [
    ("Europe/Paris", "2026-03-29"),
    ("Europe/Paris", "2026-10-25"),
    ("America/New_York", "2026-03-08"),
    ("America/New_York", "2026-11-01"),
    ("Australia/Lord_Howe", "2026-10-04"),
    ("Australia/Lord_Howe", "2026-04-05"),
    ("Africa/Cairo", "2025-04-25"),
    ("Africa/Cairo", "2025-10-31"),
    ("Pacific/Apia", "2011-12-30"),
    ("America/Havana", "2026-03-08"),
    ("America/Havana", "2026-11-01"),
    ("Africa/Casablanca", "2025-02-23"),
    ("America/St_Johns", "2026-03-08"),
    ("Atlantic/Azores", "2026-10-25"),
    ("Asia/Kolkata", "2026-12-31"),
    ("UTC", "2028-02-29"),
];

/// What a story is made with.
struct Maker {
    random: Random,
    zone: &'static str,
    day: Instant,
    names: Vec<ScheduleRef>,
}

/// The story of a seed.
pub(super) fn story(seed: u64) -> Story {
    let mut random = Random::new(mixed(&[seed, 0xdab0]));
    let (zone, date) = random.pick(&ZONES);
    let day = Instant::parse(&format!("{date}T00:00:00Z")).expect("a date");
    let before = random.between(HOUR, 3 * DAY);
    let start = Instant::from_secs(day.secs() - i64::try_from(before).expect("small"));
    let mut maker = Maker { random, zone, day, names: Vec::new() };
    let files = maker.files();
    let count = maker.random.between(5, 24);
    let steps = (0..count).map(|_| maker.step()).collect();
    Story { seed, start, files, steps, real_jobs: true }
}

impl Maker {
    fn files(&mut self) -> BTreeMap<crate::ids::InterfaceId, File> {
        let mut files: BTreeMap<_, File> = BTreeMap::new();
        for number in 0..self.random.between(1, 6) {
            let interface = self.random.pick(&["shop", "shop", "bank"]);
            let id: ScheduleRef = format!("{interface}/s{number}").parse().expect("a name");
            let spec = self.spec();
            files.entry(id.interface.clone()).or_default().schedules.insert(id.clone(), spec);
            self.names.push(id);
        }
        for file in files.values_mut() {
            file.concurrent = self.limit();
        }
        files
    }

    fn limit(&mut self) -> Option<u32> {
        let limit = self.random.between(1, 3);
        self.random.percent(40).then(|| u32::try_from(limit).expect("small"))
    }

    fn spec(&mut self) -> Spec {
        let when = self.when();
        let random = &mut self.random;
        let own_dst = random.percent(70) || matches!(when, When::At(_));
        let zone = if random.percent(80) { self.zone } else { random.pick(&ZONES).0 };
        Spec {
            when,
            zone: if zone == "Pacific/Apia" && self.zone != zone { "UTC" } else { zone },
            gap: if own_dst { None } else { random.pick(&[None, Some("shift"), Some("skip")]) },
            fold: if own_dst {
                None
            } else {
                random.pick(&[None, Some("first"), Some("last"), Some("both")])
            },
            enabled: random.percent(92),
            overlap: random.pick(&OVERLAPS),
            mode: random.pick(&MODES),
            window_s: random.pick(&[10 * MINUTE, HOUR, 6 * HOUR, DAY]),
            max: u32::try_from(random.between(1, 6)).expect("small"),
            rate_per_hour: random.percent(40).then(|| random.pick(&[4, 12, 60])),
            lock: random.percent(30).then(|| random.pick(&["red", "blue"])),
            splay_s: if random.percent(20) { random.pick(&[30, 600, 2 * HOUR]) } else { 0 },
            on_interrupt: random.pick(&["ko", "ko", "rerun"]),
            priority: random.pick(&[0, 0, 5]),
        }
    }

    fn when(&mut self) -> When {
        let kind = self.random.below(100);
        match kind {
            0..65 => When::Cron(self.pattern()),
            65..80 => {
                let period_s = self.random.pick(&[600, 5400, 2 * HOUR, 7 * HOUR, 26 * HOUR]);
                let near = self.day.secs() - 40_000
                    + i64::try_from(self.random.below(80_000)).expect("small");
                let anchor = self.random.percent(40).then(|| Instant::from_secs(near));
                When::Every { period_s, anchor }
            }
            80..85 if self.zone != "Pacific/Apia" => self.once(),
            80..95 if !self.names.is_empty() => When::After {
                of: self.random.pick(&self.names.clone()),
                outcome: self.random.pick(&["ok", "ok", "ko", "any"]),
                deadline_s: self.random.pick(&[10 * MINUTE, 2 * HOUR, DAY]),
            },
            95..97 => When::Reboot,
            _ => When::Manual,
        }
    }

    fn once(&mut self) -> When {
        let random = &mut self.random;
        let date = self.day + std::time::Duration::from_secs(DAY * random.below(2));
        let date: String = date.to_string().chars().take(10).collect();
        let (hour, minute) = (random.below(24), random.below(60));
        When::At(format!("{date}T{hour:02}:{minute:02}"))
    }

    fn pattern(&mut self) -> String {
        let random = &mut self.random;
        let (minute, hour) = (random.below(60), random.pick(&[0, 1, 1, 2, 2, 3, 12, 23]));
        let (second, other) = (random.below(60), random.below(60));
        let until = hour.min(20) + random.below(4);
        let hour = hour.min(until);
        match random.below(14) {
            0 => format!("{minute} {hour} * * *"),
            1 => format!("{minute},{other} {hour}-{until} * * *"),
            2 => format!("*/{} * * * *", random.pick(&[15, 20, 30])),
            3 => format!("*/{} {hour}-{until} * * *", random.pick(&[5, 10, 30])),
            4 => format!("{minute} * * * *"),
            5 => format!("{minute} */{} * * *", random.pick(&[2, 3, 6])),
            6 => format!("{second} {minute} * * * *"),
            7 => format!("*/20 {minute} {hour}-{until} * * *"),
            8 => format!("0,30 {minute} {hour} * * *"),
            9 => format!("{minute} {hour} * * {}", random.pick(&["0", "1-5", "6,0"])),
            10 => format!("{minute} {hour} L * *"),
            11 => format!("{minute} {hour} 1,28-30 * 5"),
            12 => "@hourly".to_owned(),
            _ => "@daily".to_owned(),
        }
    }

    fn any(&mut self) -> ScheduleRef {
        self.random.pick(&self.names.clone())
    }

    fn target(&mut self) -> Target {
        let id = self.any();
        if self.random.percent(30) { Target::Interface(id.interface) } else { Target::Schedule(id) }
    }

    fn duration(&mut self) -> u64 {
        let most = self.random.pick(&[2 * MINUTE, HOUR, 6 * HOUR, 30 * HOUR]);
        self.random.between(1, most)
    }

    fn clock_step(&mut self) -> i64 {
        let most = self.random.pick(&[MINUTE, HOUR, 3 * HOUR, 8 * HOUR, 30 * HOUR]);
        let step = i64::try_from(self.random.between(3, most)).expect("small");
        if self.random.percent(50) { step } else { -step }
    }

    fn down(&mut self) -> Down {
        let set = self.random.percent(15).then(|| self.clock_step());
        let edit = self.random.percent(25).then(|| (self.any(), self.edit()));
        Down {
            secs: self.duration(),
            set_clock_s: set.unwrap_or(0),
            edit,
            reboot: self.random.percent(20),
            jobs_live: self.random.percent(60),
            fault: self.random.percent(15).then(|| (self.random.below(4), self.fault())),
            from_checkpoint: self.random.percent(50),
        }
    }

    fn fault(&mut self) -> Fault {
        self.random.pick(&[Fault::LostBefore, Fault::KilledAfter, Fault::Refused])
    }

    fn edit(&mut self) -> Edit {
        match self.random.below(10) {
            0..3 => Edit::When(self.when()),
            3 => Edit::Zone(if self.zone == "Pacific/Apia" {
                "Pacific/Apia"
            } else {
                self.random.pick(&["UTC", "Europe/Paris", "Asia/Kolkata", self.zone])
            }),
            4 => Edit::Enabled(self.random.percent(50)),
            5 => Edit::Overlap(self.random.pick(&OVERLAPS)),
            6 => Edit::Mode(self.random.pick(&MODES)),
            7 => Edit::Concurrent(self.limit()),
            8 => Edit::Remove,
            _ => Edit::Restore,
        }
    }

    fn step(&mut self) -> Step {
        match self.random.below(100) {
            0..35 => Step::Pass { secs: self.duration() },
            35..38 => Step::Lose,
            38..44 => Step::SetClock { by_s: self.clock_step() },
            44..49 => Step::Suspend { secs: self.duration() },
            49..56 => Step::Kill(self.down()),
            56..58 => {
                let drain_s = self.random.below(HOUR);
                Step::Stop { drain_s, down: self.down() }
            }
            58..60 => {
                let drain_s = self.random.below(3 * HOUR);
                Step::Drain { drain_s, down: self.down() }
            }
            60..67 => {
                Step::Fault { after: self.random.below(30), how: self.fault(), down: self.down() }
            }
            67..74 => Step::Edit(self.any(), self.edit()),
            74..80 => {
                let target = self.target();
                let for_s = self.random.percent(60).then(|| self.duration());
                Step::Pause { target, for_s }
            }
            80..84 => Step::Resume { target: self.target() },
            84..91 => Step::Run { schedule: self.any(), force: self.random.percent(25) },
            91..96 => Step::Rerun {
                back: usize::try_from(self.random.below(4)).expect("small"),
                force: self.random.percent(25),
            },
            _ => Step::Cancel { which: usize::try_from(self.random.below(4)).expect("small") },
        }
    }
}

const OVERLAPS: [&str; 6] = ["skip", "skip", "allow", "queue", "queue-all", "cancel-running"];
const MODES: [&str; 5] = ["last", "last", "all", "all", "none"];
