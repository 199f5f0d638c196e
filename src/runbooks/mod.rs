//! One page for every cause: what it means, what to check, whether it may be run again, whom to contact.
//!
//! Shown by `daybook explain CAUSE` and below a red execution. The file is named after the code, in lower case.

use crate::domain::cause::Cause;

/// The runbook page of a cause, in Markdown.
pub const fn page(cause: Cause) -> &'static str {
    match cause {
        Cause::ExtDns => include_str!("ext-dns.md"),
        Cause::ExtNetRefused => include_str!("ext-net-refused.md"),
        Cause::ExtNetUnreachable => include_str!("ext-net-unreachable.md"),
        Cause::ExtNetReset => include_str!("ext-net-reset.md"),
        Cause::ExtNetClosed => include_str!("ext-net-closed.md"),
        Cause::ExtNetTimeout => include_str!("ext-net-timeout.md"),
        Cause::ExtNetTruncated => include_str!("ext-net-truncated.md"),
        Cause::ExtTlsExpired => include_str!("ext-tls-expired.md"),
        Cause::ExtRate => include_str!("ext-rate.md"),
        Cause::Ext5xx => include_str!("ext-5xx.md"),
        Cause::ExtConflict => include_str!("ext-conflict.md"),
        Cause::ExtContract => include_str!("ext-contract.md"),
        Cause::ExtOther => include_str!("ext-other.md"),
        Cause::ExtTls => include_str!("ext-tls.md"),
        Cause::CfgLocal => include_str!("cfg-local.md"),
        Cause::CfgDns => include_str!("cfg-dns.md"),
        Cause::CfgTls => include_str!("cfg-tls.md"),
        Cause::CfgProxy => include_str!("cfg-proxy.md"),
        Cause::CfgAuth => include_str!("cfg-auth.md"),
        Cause::CfgPerm => include_str!("cfg-perm.md"),
        Cause::CfgEndpoint => include_str!("cfg-endpoint.md"),
        Cause::CfgSig => include_str!("cfg-sig.md"),
        Cause::CfgOther => include_str!("cfg-other.md"),
        Cause::CfgDatabase => include_str!("cfg-database.md"),
        Cause::MapRef => include_str!("map-ref.md"),
        Cause::MapField => include_str!("map-field.md"),
        Cause::MapMissing => include_str!("map-missing.md"),
        Cause::MapOther => include_str!("map-other.md"),
        Cause::TecSize => include_str!("tec-size.md"),
        Cause::TecDisk => include_str!("tec-disk.md"),
        Cause::TecTimeout => include_str!("tec-timeout.md"),
        Cause::TecSignal => include_str!("tec-signal.md"),
        Cause::TecOom => include_str!("tec-oom.md"),
        Cause::TecExit => include_str!("tec-exit.md"),
        Cause::TecInterrupted => include_str!("tec-interrupted.md"),
        Cause::TecCrash => include_str!("tec-crash.md"),
        Cause::TecStore => include_str!("tec-store.md"),
        Cause::TecUnclassified => include_str!("tec-unclassified.md"),
        Cause::TecProgram => include_str!("tec-program.md"),
        Cause::TecDependency => include_str!("tec-dependency.md"),
        Cause::TecResource => include_str!("tec-resource.md"),
        Cause::CasStep => include_str!("cas-step.md"),
        Cause::CasExit => include_str!("cas-exit.md"),
        Cause::CasAborted => include_str!("cas-aborted.md"),
        Cause::CasBreaker => include_str!("cas-breaker.md"),
        Cause::CasOther => include_str!("cas-other.md"),
    }
}

/// The part of a page that an operator needs first, in Markdown: what to do, whether it may be run again, whom to contact.
pub fn what_to_do(cause: Cause) -> &'static str {
    let after = page(cause).split_once("## What to do").map_or("", |(_, after)| after);
    after.split("\n## ").next().unwrap_or_default().trim()
}

/// The paragraphs of that part as plain text, without whom to contact.
pub fn gist(cause: Cause) -> Vec<String> {
    let paragraphs = what_to_do(cause).split("\n\n").filter(|text| !text.starts_with(WHOM));
    paragraphs.map(|text| text.replace("**", "").replace('\n', " ")).collect()
}

/// Whether what failed so may be run again.
pub fn may_run_again(cause: Cause) -> String {
    answer(cause, AGAIN)
}

/// Whom to contact, without a full stop.
pub fn whom(cause: Cause) -> String {
    answer(cause, WHOM).trim_end_matches('.').to_owned()
}

/// How the paragraphs begin that answer a question.
const AGAIN: &str = "**May I run it again?**";
const WHOM: &str = "**Whom to contact:**";

fn answer(cause: Cause, question: &str) -> String {
    let answered = what_to_do(cause).split("\n\n").find_map(|text| text.strip_prefix(question));
    answered.map_or_else(String::new, |text| text.trim().replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_has_a_page_that_bears_its_name_and_meaning() {
        for &cause in Cause::ALL {
            let title = page(cause).lines().next().unwrap();
            assert_eq!(title, format!("# {}: {}", cause.code(), cause.meaning()));
        }
    }

    /// S3-9.
    #[test]
    fn each_page_begins_with_the_action_of_its_class() {
        for &cause in Cause::ALL {
            let text = page(cause);
            let line = text.lines().nth(2).unwrap();
            let action = cause.class().action(None);
            let start = action.split(". ").next().unwrap().trim_end_matches('.');
            assert!(line.contains(start), "{cause}: {line}");
        }
    }

    #[test]
    fn each_page_answers_the_same_questions() {
        for &cause in Cause::ALL {
            for part in [
                "## What it means",
                "## What usually causes it",
                "## What to check",
                "## What to do",
                "**May I run it again?**",
                "**Whom to contact:**",
            ] {
                assert!(page(cause).contains(part), "{cause}: {part}");
            }
            assert!((15..=40).contains(&page(cause).lines().count()), "{cause}");
        }
    }

    #[test]
    fn each_page_says_on_one_line_who_is_asked_and_whether_it_may_be_run_again() {
        for &cause in Cause::ALL {
            for told in [whom(cause), may_run_again(cause)] {
                assert!(!told.is_empty() && !told.contains(['\n', '*']), "{cause}: {told:?}");
            }
        }
        assert_eq!(whom(Cause::MapOther), "the owner of the data");
        assert_eq!(may_run_again(Cause::MapOther), "Yes, after the correction.");
    }

    /// S3-9.
    #[test]
    fn the_gist_of_every_page_says_whether_it_may_be_run_again() {
        for &cause in Cause::ALL {
            let gist = gist(cause);
            assert!(gist.iter().any(|line| line.starts_with("May I run it again?")), "{cause}");
        }
    }
}
