//! Why a command did not do what it was asked, and how that is shown.

use std::error::Error;
use std::fmt::Display;
use std::io;

use serde_json::{Value, json};

use super::exit::Exit;
use super::messages::Messages;
use super::render::Tone;
use super::text::{clean, columns, wrapped};

/// A command's failure: for people three kinds of lines (`error:`, `caused by:`, `hint:`), with `--json` one problem.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    exit: Exit,
    message: String,
    causes: Vec<String>,
    hint: Option<String>,
    /// The daemon's own problem, shown as it came.
    problem: Option<Value>,
    /// Everything that is to be said has been said.
    silent: bool,
}

/// What a command comes back with.
pub type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// A failure with its sentence, without a full stop.
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self {
            exit,
            message: message.into(),
            causes: Vec::new(),
            hint: None,
            problem: None,
            silent: false,
        }
    }

    /// A wrong value on the command line.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, message)
    }

    /// An exit code whose reason the output shows already.
    pub fn silent(exit: Exit) -> Self {
        Self { silent: true, ..Self::new(exit, exit.as_str()) }
    }

    /// A problem that the daemon answered with.
    pub fn from_problem(status: u16, problem: Value) -> Self {
        let text = |name: &str| problem.get(name).and_then(Value::as_str).unwrap_or_default();
        let code = text("code");
        let mut failure = Self::new(Exit::of_problem(status, code), sentence(&problem));
        if let Some(errors) = problem.get("errors").and_then(Value::as_array)
            && errors.len() > 1
        {
            failure.causes = errors.iter().map(field_error).collect();
        }
        let action = text("action").trim_end_matches('.');
        failure.hint = (!action.is_empty()).then(|| action.to_owned());
        failure.problem = Some(problem);
        failure
    }

    /// The same failure with all that led to it.
    #[must_use]
    pub fn because(mut self, err: &dyn Error) -> Self {
        let mut next = Some(err);
        while let Some(err) = next {
            self.causes.push(err.to_string());
            next = err.source();
        }
        self
    }

    /// The same failure with one more reason.
    #[must_use]
    pub fn reason(mut self, reason: impl Display) -> Self {
        self.causes.push(reason.to_string());
        self
    }

    /// The same failure with how to mend it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// How the process ends.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The sentence and all that led to it.
    pub fn in_full(&self) -> String {
        let sentences: Vec<&str> =
            std::iter::once(&self.message).chain(&self.causes).map(String::as_str).collect();
        sentences.join(": ")
    }

    /// The problem that stands on stderr with `--json`.
    pub fn document(&self) -> Value {
        if let Some(problem) = &self.problem {
            return problem.clone();
        }
        let code = self.exit.as_str();
        let detail = self.in_full();
        let mut problem = own_problem(code, &self.message);
        problem["detail"] = json!(detail);
        problem["action"] = json!(self.hint);
        problem
    }

    /// Writes it to where `messages` go; it is no message that could be left out.
    ///
    /// # Errors
    /// Nothing can be written there.
    pub fn show(&self, messages: &mut Messages<'_>, json: bool) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        if json {
            return writeln!(messages.errors(), "{}", self.document());
        }
        let parts = std::iter::once((Tone::Bad, "error:", &self.message))
            .chain(self.causes.iter().map(|cause| (Tone::Faint, "caused by:", cause)))
            .chain(self.hint.iter().map(|hint| (Tone::Good, "hint:", hint)));
        let (palette, width) = (messages.palette(), messages.width());
        for (tone, label, text) in parts {
            let mut lead = palette.paint(tone, label).into_owned();
            for row in rows(&clean(text), width.map(|width| width.saturating_sub(label.len() + 1)))
            {
                writeln!(messages.errors(), "{lead} {row}")?;
                lead = " ".repeat(label.len());
            }
        }
        Ok(())
    }
}

/// A text as it stands at a terminal of this width, or whole.
fn rows(text: &str, width: Option<usize>) -> Vec<String> {
    match width.filter(|width| columns(text) > *width) {
        Some(width) => wrapped(text, width),
        None => vec![text.to_owned()],
    }
}

impl From<io::Error> for Failure {
    /// What goes wrong while results are written. A reader that has seen enough (`| head`) is no failure.
    fn from(err: io::Error) -> Self {
        if err.kind() == io::ErrorKind::BrokenPipe {
            Self::silent(Exit::Ok)
        } else {
            Self::new(Exit::Failed, "the output cannot be written").because(&err)
        }
    }
}

/// A problem that no daemon made: the members are those of the daemon's, null where nothing is known.
pub fn own_problem(code: &str, title: &str) -> Value {
    json!({
        "type": format!("urn:daybook:problem:{code}"),
        "title": title,
        "status": null,
        "detail": title,
        "instance": null,
        "code": code,
        "class": null,
        "action": null,
        "request_id": null,
        "errors": [],
        "progress": null,
        "execution": null,
    })
}

/// The problem's detail, or its title when it has none.
fn sentence(problem: &Value) -> String {
    let text = |name: &str| problem.get(name).and_then(Value::as_str).filter(|t| !t.is_empty());
    text("detail").or_else(|| text("title")).unwrap_or("the daemon refused").to_owned()
}

fn field_error(error: &Value) -> String {
    let text = |name: &str| error.get(name).and_then(Value::as_str).unwrap_or_default();
    format!("`{}` {}", text("pointer"), text("detail"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::messages::{Manner, Voice};
    use crate::cli::render::Palette;
    use crate::http::problem::Problem;

    fn shown(failure: &Failure, json: bool) -> String {
        shown_in(None, failure, json)
    }

    fn shown_in(width: Option<usize>, failure: &Failure, json: bool) -> String {
        let mut text = Vec::new();
        let voice = Voice::Quiet;
        let manner = Manner { voice, palette: Palette::plain(), width, lively: false };
        failure.show(&mut Messages::new(&mut text, manner), json).expect("memory");
        String::from_utf8(text).expect("text")
    }

    #[test]
    fn a_terminal_gets_a_failure_in_rows_below_each_other() {
        let failure = Failure::usage("the file cannot be read").hint("say which file it is");
        assert_eq!(
            shown_in(Some(24), &failure, false),
            "error: the file cannot\n       be read\nhint: say which file it\n      is\n"
        );
    }

    #[test]
    fn a_failure_has_a_sentence_its_causes_and_a_hint() {
        let failure = Failure::new(Exit::Unreachable, "no daemon answers")
            .reason("/run/daybook/daybook.sock: no such file")
            .hint("start it with `daybook serve`");
        assert_eq!(
            shown(&failure, false),
            "error: no daemon answers\ncaused by: /run/daybook/daybook.sock: no such file\nhint: start it with `daybook serve`\n"
        );
    }

    #[test]
    fn the_daemons_problem_is_shown_as_it_came() {
        let problem = json!({"code": "not-found", "status": 404, "detail": "execution `7` does not exist", "action": "Check the address and the id."});
        let failure = Failure::from_problem(404, problem.clone());
        assert_eq!(failure.exit(), Exit::NotFound);
        assert_eq!(serde_json::from_str::<Value>(&shown(&failure, true)).expect("json"), problem);
        assert_eq!(
            shown(&failure, false),
            "error: execution `7` does not exist\nhint: Check the address and the id\n"
        );
    }

    #[test]
    fn an_own_failure_has_the_form_of_a_problem_too() {
        let failure = Failure::usage("`soon` is no time").hint("write 2h");
        let document = failure.document();
        assert_eq!(document["code"], "usage");
        assert_eq!(document["type"], "urn:daybook:problem:usage");
        assert_eq!(document["action"], "write 2h");
        let members = |problem: &Value| -> Vec<String> {
            problem.as_object().expect("an object").keys().cloned().collect()
        };
        let daemons = Problem::not_found("it").body(None, None);
        let daemons = serde_json::to_value(daemons).expect("json");
        assert_eq!(members(&document), members(&daemons));
    }

    #[test]
    fn a_reader_that_has_seen_enough_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.exit(), Exit::Ok);
        assert_eq!(shown(&failure, false), "");
    }
}
