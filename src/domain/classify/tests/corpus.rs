//! The rules on log lines and runs of software in general, class by class. Each file was written and scored before any rule was
//! changed for it; what the rules have to keep is a floor for each class.

use super::super::*;

/// Lines below the heading of their class: `== external`.
const LINES: [&str; 8] = [
    include_str!("corpus/first.txt"),
    include_str!("corpus/second.txt"),
    include_str!("corpus/third.txt"),
    include_str!("corpus/fourth.txt"),
    include_str!("corpus/fifth.txt"),
    include_str!("corpus/sixth.txt"),
    include_str!("corpus/seventh.txt"),
    include_str!("corpus/eighth.txt"),
];

/// Runs below their heading (`== external: what it is about`). A line begins with `>` if it says why, `=` if it says so too, `+` if
/// it follows from that.
const RUNS: [&str; 2] =
    [include_str!("corpus/runs_first.txt"), include_str!("corpus/runs_second.txt")];

/// The share of each class that has to be right, in percent.
const FLOOR: usize = 97;

#[derive(Default)]
struct Run {
    class: &'static str,
    lines: Vec<&'static str>,
    root: Option<usize>,
    others: Vec<usize>,
    cascades: Vec<usize>,
}

fn runs() -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for line in RUNS.iter().flat_map(|file| file.lines()) {
        if let Some(heading) = line.strip_prefix("== ") {
            let class = heading.split_once(':').unwrap().0;
            runs.push(Run { class, ..Run::default() });
            continue;
        }
        let (Some(run), Some((mark, text))) = (runs.last_mut(), line.split_at_checked(2)) else {
            continue;
        };
        let at = run.lines.len();
        match mark {
            "> " => run.root = Some(at),
            "= " => run.others.push(at),
            "+ " => run.cascades.push(at),
            _ => {}
        }
        run.lines.push(text);
    }
    runs
}

fn percent(part: usize, whole: usize) -> usize {
    part * 100 / whole.max(1)
}

#[test]
fn each_class_of_line_is_recognised() {
    let classifier = Classifier::new(&[]).unwrap();
    let mut wrong = Vec::new();
    for class in ["external", "configuration", "mapping", "technical", "cascade", "none"] {
        let (mut right, mut all) = (0, 0);
        let mut heading = "";
        for line in LINES.iter().flat_map(|file| file.lines()).filter(|line| !line.is_empty()) {
            if let Some(found) = line.strip_prefix("== ") {
                heading = found;
            } else if heading == class {
                let found = classify_one(&classifier, line).0.map_or("none", Class::as_str);
                all += 1;
                right += usize::from(found == class);
                if found != class {
                    wrong.push(format!("{class} -> {found}: {line}"));
                }
            }
        }
        assert!(all > 100, "{class}: only {all} lines");
        assert!(percent(right, all) >= FLOOR, "{class}: {right} of {all}\n{}", wrong.join("\n"));
    }
    let silenced = wrong.iter().filter(|line| line.contains(" -> none: ")).count();
    assert!(silenced <= 5, "{silenced} errors called none\n{}", wrong.join("\n"));
}

#[test]
fn each_run_gets_its_root_line_class_and_consequences() {
    let classifier = Classifier::new(&[]).unwrap();
    let runs = runs();
    let (mut right, mut found, mut linked, mut cascades) = (0, 0, 0, 0);
    let mut wrong = Vec::new();
    for run in &runs {
        let all = analyse_all(&classifier, &run.lines);
        let root = all.as_ref().map(|all| all.root_line);
        let told =
            root.is_some() && root == run.root || root.is_some_and(|at| run.others.contains(&at));
        let class = all.as_ref().map_or("none", |all| all.root_class.as_str());
        right += usize::from(told && class == run.class);
        if !(told && class == run.class) {
            wrong.push(format!("{}@{:?} -> {class}@{root:?}", run.class, run.root));
        }
        let lines = all.map(|all| all.cascade_lines).unwrap_or_default();
        found += lines.len();
        cascades += run.cascades.len();
        linked += lines.iter().filter(|line| run.cascades.contains(line)).count();
    }
    assert!(runs.len() > 40, "only {} runs", runs.len());
    assert!(percent(right, runs.len()) >= 95, "{right} of {}\n{}", runs.len(), wrong.join("\n"));
    assert!(percent(linked, cascades) >= 88, "{linked} of {cascades} consequences");
    assert!(percent(linked, found) >= 92, "{linked} of {found} are consequences");
}

#[test]
fn a_consequence_points_to_the_line_that_caused_it() {
    let classifier = std::sync::Arc::new(Classifier::new(&[]).unwrap());
    for run in runs() {
        let mut session = Session::new(std::sync::Arc::clone(&classifier));
        let before = |at: usize| run.root.is_some_and(|root| root < at);
        for (at, line) in run.lines.iter().enumerate() {
            let number = u64::try_from(at).unwrap() + 1;
            let judged = session.judge(number, crate::domain::class::Source::Stderr, line);
            if judged.class == Some(Class::Cascade) && before(at) {
                assert!(judged.cascade_of.is_some_and(|of| of < number), "{line}");
            }
        }
    }
}
