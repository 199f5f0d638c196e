//! Keys of the file itself: the interface.

use super::{BLACKOUT, Group, Key, Kind, Names, SCHEDULE, Table, choice};

/// The file's top level.
pub static INTERFACE: Table = Table {
    name: "an interface",
    place: "top of the file",
    keys: &[
        Key::new("name", Kind::Text, "What people call it.")
            .default("the file's stem")
            .example("\"FNAC sales\"")
            .also(&["title"]),
        Key::new("type", Kind::Slug, "The kind of external system: any slug. `external-sales`, `public-webservices` and `exports` mean \"API-based\" when all executions are daily.")
            .example("\"external-sales\"")
            .also(&["kind"]),
        Key::new("timezone", Kind::Zone, "IANA zone name; the default for its schedules.")
            .default("\"UTC\"")
            .example("\"Europe/Paris\"")
            .also(&["tz", "zone", "time_zone"]),
        Key::new("owner", Kind::Text, "Who looks after it.").example("\"ticketing-ops\"").also(&["team"]),
        Key::new("runbook", Kind::Url, "Where its runbook is.")
            .example("\"https://wiki.example/fnac\"")
            .also(&["docs", "wiki"]),
        Key::new("labels", Kind::Map(Names::Any, &Kind::Text), "Free labels.")
            .example("{ customer = \"fnac\" }")
            .also(&["tags"]),
        Key::new("retention", Kind::Table(&RETENTION), "How long its history is kept; the settings' `retention_ok`, `retention_ko` and `retention_lines` count where it says nothing.")
            .default("for ever")
            .example("{ ok = \"90d\", ko = \"400d\", lines = \"90d\" }"),
        Key::new("notify", Kind::Url, "Gets a POST on the first KO in a row, on recovery, on an anomaly and on a missed slot.")
            .example("\"https://chat.example/hook\"")
            .also(&["alert", "webhook", "slack"])
            .secret(),
        Key::new("env", Kind::Map(Names::Variable, &Kind::Secretable), "Variables for every command of this interface.")
            .example("{ FNAC_URL = \"https://api.fnac.example\", FNAC_TOKEN = { credential = \"fnac-token\" } }")
            .also(&["environment", "variables"]),
        Key::new("limits", Kind::Table(&LIMITS), "How much at once, and how often.")
            .example("{ concurrent = 2 }"),
        Key::new("rules", Kind::List(&Kind::Table(&RULE)), "Classification rules, tried in order before the built-in ones.")
            .default("none")
            .example("[{ contains = \"no product for code\", class = \"mapping\" }]")
            .also(&["rule"]),
        Key::new("blackout", Kind::List(&Kind::Blackout(&BLACKOUT)), "Calendars and windows, in the interface's zone, in which no slot of it runs: these are `skipped(blackout)`.")
            .default("none")
            .example("[{ days = [\"sat\", \"sun\"], from = \"22:00\", to = \"06:00\" }]")
            .also(&["maintenance", "freeze", "quiet"]),
        Key::new("schedules", Kind::Map(Names::Slug, &Kind::Table(&SCHEDULE)), "Its schedules, each a table `[schedules.<id>]`.")
            .example("{ integrate-sales = { cron = \"0 */2 * * *\", command = [\"./integrate-sales\"] } }")
            .also(&["schedule", "jobs", "job"]),
    ],
    one_of: &[],
    required: &[],
};

/// `[limits]`.
pub static LIMITS: Table = Table {
    name: "limits",
    place: "[limits]",
    keys: &[
        Key::new("concurrent", Kind::Integer(1, 100_000), "Executions of this interface at once. The daemon's own limit (`max_concurrent`) holds beside it.")
            .default("no limit of its own")
            .example("2")
            .also(&["concurrency", "max_concurrent", "parallel"]),
        Key::new("rate", Kind::Rate, "HTTP calls of this interface in any such period, shared by its schedules and re-runs; the next one waits. What a command does is its own affair.")
            .default("no limit")
            .example("\"60/min\"")
            .also(&["rate_limit", "per_minute", "throttle"]),
    ],
    one_of: &[],
    required: &[],
};

/// `[retention]`.
pub static RETENTION: Table = Table {
    name: "retention",
    place: "[retention]",
    keys: &[
        Key::new("ok", Kind::Duration, "How long executions that ended ok are kept.")
            .default("for ever")
            .example("\"90d\""),
        Key::new("ko", Kind::Duration, "How long executions that ended ko are kept.")
            .default("for ever")
            .example("\"400d\""),
        Key::new("lines", Kind::Duration, "How long log lines are kept.")
            .default("for ever")
            .example("\"90d\"")
            .also(&["logs"]),
        Key::new("count", Kind::Integer(1, i64::MAX), "How many executions are kept at most.")
            .default("no limit")
            .example("10000"),
        Key::new("bytes", Kind::Size, "How many bytes of lines are kept at most.")
            .default("no limit")
            .example("\"10GiB\"")
            .also(&["size"]),
    ],
    one_of: &[],
    required: &[],
};

/// `[[rules]]`.
pub static RULE: Table = Table {
    name: "a rule",
    place: "[[rules]]",
    keys: &[
        Key::new("contains", Kind::Text, "The text stands somewhere in the line; letters' case does not count.").example("\"no product for code\""),
        Key::new("equals", Kind::Text, "The line is this text, apart from white space around it; letters' case does not count.").example("\"nothing to do\""),
        Key::new("matches", Kind::Regex, "A regular expression that matches somewhere in the line.")
            .example("\"code FNAC-\\\\d+\"")
            .also(&["regex", "pattern"]),
        Key::new("class", choice(&["external", "configuration", "mapping", "technical", "cascade"]), "Whose move it is.").example("\"mapping\""),
        Key::new("cause", Kind::Text, "The finer code; it must belong to the class.")
            .default("the class's `…-OTHER`, or `TEC-UNCLASSIFIED`")
            .example("\"MAP-FIELD\""),
    ],
    one_of: &[Group { asks: "how a line is compared", keys: &["contains", "equals", "matches"] }],
    required: &["class"],
};
