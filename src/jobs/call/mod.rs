//! One HTTP call: prepared, sent, redirected, judged; each request with its answer is one line of the log (S3-4).

mod client;
mod exchange;
mod fault;
mod pace;
mod proxies;
mod request;
#[cfg(test)]
mod tests;

pub use client::Caller;
pub use proxies::Proxies;

use std::ops::ControlFlow;
use std::time::Duration;

use reqwest::header::{LOCATION, RETRY_AFTER};
use reqwest::{Response, StatusCode, Url};
use tokio::time::{Instant, sleep};

use self::exchange::{Answer, Exchange};
use self::fault::Finding;
use self::request::Prepared;
use super::attempt::{AttemptContext, Ran};
use super::follow::TICK;
use super::scribe::Scribe;
use crate::domain::cause::Cause;
use crate::domain::class::Level;
use crate::domain::definition::{Http, Schedule};
use crate::domain::retry;
use crate::domain::verdict::{CallFault, End, spoken, spoken_size};

/// More redirects than this are a loop.
const REDIRECTS_MAX: usize = 10;

/// Bytes of an unexpected answer that are kept in the exchange: enough to see a maintenance page or an error object.
const EXCERPT_BYTES: usize = 2048;

/// Runs the schedule's call to its end.
pub(super) async fn run(
    context: &AttemptContext,
    schedule: &Schedule,
    http: &Http,
    scribe: &mut Scribe,
) -> Ran {
    let mut learn = |secrets: &[_]| scribe.learn(secrets);
    let prepared = match request::prepare(context, schedule, http, &mut learn) {
        Ok(prepared) => prepared,
        Err(end) => return Ran::ended(end),
    };
    let mut call = Call {
        context,
        http,
        repeatable: prepared.is_repeatable(),
        templated: prepared.templated,
        under_way: None,
        answer: Answer::default(),
        retry_after: None,
    };
    let timeout = schedule.timeout_ms.map(Duration::from_millis);
    let ended = call.converse(prepared, timeout, scribe).await;
    match ended {
        Ok(end) => call.ran(end),
        Err(end) => call.broken_off(end, scribe),
    }
}

/// Waits until the interface's rate allows another call.
///
/// # Errors
/// The end of the call when it is not made any more.
async fn turn(context: &AttemptContext, scribe: &mut Scribe) -> Result<(), End> {
    let Some(rate) = context.interface.limits.rate else { return Ok(()) };
    let place = context.settings.caller.pace().queue(&context.interface.id, rate);
    let now = Instant::now();
    let turn = place.turn(now);
    if turn > now {
        let text = format!("waits {} for its turn: `limits.rate`", spoken(turn - now));
        scribe.note(Level::Info, None, None, &text, None);
        scribe.cut();
    }
    tokio::select! {
        biased;
        () = context.cancel.cancelled() => Err(End::Cancelled),
        () = place.come() => Ok(()),
        () = context.draining.cancelled() => Err(End::Interrupted),
    }
}

/// Says how far a call came that the daemon's stop found waiting for its turn.
fn note_stop(asked: Asked, scribe: &mut Scribe) {
    let text = match asked {
        Asked::Nothing => "the daemon stopped before the call was made: nothing was sent",
        Asked::Redirected => "the daemon stopped before the redirect was followed",
    };
    let cause = Cause::TecInterrupted;
    scribe.note(Level::Error, Some(cause.class()), Some(cause), text, None);
}

async fn expired(limit: Option<Duration>) {
    match limit {
        Some(limit) => sleep(limit).await,
        None => std::future::pending().await,
    }
}

/// What of a call was sent when it waits for a turn.
#[derive(Clone, Copy)]
enum Asked {
    Nothing,
    Redirected,
}

/// One call with its redirects.
struct Call<'a> {
    context: &'a AttemptContext,
    http: &'a Http,
    repeatable: bool,
    templated: bool,
    /// The request whose answer is awaited.
    under_way: Option<Exchange>,
    /// What has come of that answer.
    answer: Answer,
    retry_after: Option<Duration>,
}

impl Call<'_> {
    fn ran(&self, end: End) -> Ran {
        let status =
            if let End::Answered { status, .. } = end { Some(i32::from(status)) } else { None };
        Ran { exit_code: status, retry_after: self.retry_after, ..Ran::ended(end) }
    }

    /// Daybook gave the call up: the exchange says what it was waiting for.
    fn broken_off(&mut self, end: End, scribe: &mut Scribe) -> Ran {
        let answer = self.take_answer();
        if let Some(exchange) = self.under_way.take() {
            if let End::TimedOut { limit } = &end {
                let what = if answer.has_begun() { "no complete answer" } else { "no answer" };
                let words = format!("{what} within {}", spoken(*limit));
                let finding = Finding::new(Cause::ExtNetTimeout, words);
                exchange.failed(&finding, &answer, scribe);
            } else {
                let why = if end == End::Interrupted { "interrupted" } else { "cancelled" };
                let why = format!("{why} before the answer was complete");
                exchange.given_up(&why, &answer, scribe);
            }
        }
        Ran { repeatable: self.repeatable, ..Ran::ended(end) }
    }

    /// What has come, to be told of a call that failed: without the beginning of a body that was asked for.
    fn take_answer(&mut self) -> Answer {
        let mut answer = std::mem::take(&mut self.answer);
        if answer.status.is_some_and(|status| self.expects(status)) {
            answer.excerpt.clear();
        }
        answer
    }

    fn expects(&self, status: u16) -> bool {
        if self.http.expect.is_empty() {
            (200..300).contains(&status)
        } else {
            self.http.expect.contains(&status)
        }
    }

    /// Makes request after request until an answer sends us nowhere else. The error is why Daybook gave the call up.
    ///
    /// The timeout is the external system's: the time in which the call waits for its turns does not count.
    async fn converse(
        &mut self,
        mut prepared: Prepared,
        timeout: Option<Duration>,
        scribe: &mut Scribe,
    ) -> Result<End, End> {
        let context = self.context;
        let mut left = timeout;
        let mut asked = Asked::Nothing;
        for _ in 0..=REDIRECTS_MAX {
            if let Err(end) = turn(context, scribe).await {
                if end == End::Interrupted {
                    note_stop(asked, scribe);
                }
                return Err(end);
            }
            let start = Instant::now();
            let next = tokio::select! {
                biased;
                () = context.cancel.cancelled() => return Err(End::Cancelled),
                () = expired(left) => return Err(End::TimedOut { limit: timeout.unwrap_or_default() }),
                next = self.exchange(&mut prepared, scribe) => next,
                () = context.settings.interrupt.cancelled() => return Err(End::Interrupted),
            };
            if let ControlFlow::Break(end) = next {
                return Ok(end);
            }
            left = left.map(|left| left.saturating_sub(start.elapsed()));
            asked = Asked::Redirected;
        }
        Ok(redirected_too_often(scribe))
    }

    /// Makes one request, and goes on when its answer is a redirect that is followed.
    async fn exchange(&mut self, prepared: &mut Prepared, scribe: &mut Scribe) -> ControlFlow<End> {
        let caller = &self.context.settings.caller;
        let request = match prepared.build(caller) {
            Ok(request) => request,
            Err(end) => return ControlFlow::Break(end),
        };
        self.under_way = Some(Exchange::begin(&request, prepared.body_bytes()));
        let response = match caller.client().execute(request).await {
            Ok(response) => response,
            Err(err) => {
                return ControlFlow::Break(self.unanswered(&prepared.url, &err, scribe).await);
            }
        };
        caller.has_resolved(&prepared.url);
        self.answer = Answer::of(&response);
        self.note_retry_after(&response);
        let status = response.status();
        let target = redirect_target(&response, self.http);
        let max_bytes = self.http.max_body_bytes;
        if let Err(err) = read_body(response, max_bytes, &mut self.answer, scribe).await {
            return ControlFlow::Break(self.unanswered(&prepared.url, &err, scribe).await);
        }
        let answer = std::mem::take(&mut self.answer);
        let Some(target) = target else {
            return ControlFlow::Break(self.judge(status, &answer, scribe));
        };
        if let Err(why) = prepared.follow(status, target, scribe.secrets()) {
            let finding = Finding::new(Cause::CfgEndpoint, why);
            return ControlFlow::Break(self.reject(status, &finding, &answer, scribe));
        }
        if let Some(exchange) = self.under_way.take() {
            exchange.answered(&answer, scribe);
            // The next answer may let itself be waited for.
            scribe.cut();
        }
        ControlFlow::Continue(())
    }

    fn note_retry_after(&mut self, response: &Response) {
        let value = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let now = self.context.clock.now();
        self.retry_after = value.and_then(|value| retry::retry_after(value, now));
    }

    fn judge(&mut self, status: StatusCode, answer: &Answer, scribe: &mut Scribe) -> End {
        let code = status.as_u16();
        if !self.expects(code) {
            let finding = fault::of_status(status, answer, self.templated);
            return self.reject(status, &finding, answer, scribe);
        }
        if let Some(exchange) = self.under_way.take() {
            exchange.answered(answer, scribe);
        }
        if answer.cut {
            let text = format!(
                "the answer was cut at {} (`max_body`)",
                spoken_size(self.http.max_body_bytes)
            );
            scribe.note(Level::Warning, None, None, &text, None);
        }
        End::Answered { status: code, fault: None }
    }

    fn reject(
        &mut self,
        status: StatusCode,
        finding: &Finding,
        answer: &Answer,
        scribe: &mut Scribe,
    ) -> End {
        let harmless = self.repeatable || matches!(status.as_u16(), 429 | 503 | 529);
        let retryable = fault::may_pass(finding.cause) && harmless;
        let fault = Some(CallFault { cause: finding.cause, retryable });
        if let Some(exchange) = self.under_way.take() {
            exchange.failed(finding, answer, scribe);
        }
        End::Answered { status: status.as_u16(), fault }
    }

    async fn unanswered(&mut self, url: &Url, err: &reqwest::Error, scribe: &mut Scribe) -> End {
        let answer = self.take_answer();
        let caller = &self.context.settings.caller;
        let finding = fault::of_error(err, url, caller).await;
        // While no connection stands, nothing can have been carried out.
        let harmless = self.repeatable || (err.is_connect() && !answer.has_begun());
        let retryable = fault::may_pass(finding.cause) && harmless;
        let cause = finding.cause;
        if let Some(exchange) = self.under_way.take() {
            exchange.failed(&finding, &answer, scribe);
        }
        End::Unanswered { fault: CallFault { cause, retryable } }
    }
}

fn redirected_too_often(scribe: &mut Scribe) -> End {
    let why = format!("more than {REDIRECTS_MAX} redirects; check the address");
    let fault = Finding::new(Cause::CfgEndpoint, why);
    let class = Some(fault.cause.class());
    scribe.note(Level::Error, class, Some(fault.cause), &fault.words, None);
    End::Unanswered { fault: CallFault { cause: fault.cause, retryable: false } }
}

/// Reads the body up to `max` bytes, without keeping more than its beginning.
async fn read_body(
    mut response: Response,
    max: u64,
    answer: &mut Answer,
    scribe: &mut Scribe,
) -> Result<(), reqwest::Error> {
    let mut tick = tokio::time::interval(TICK);
    loop {
        let chunk = tokio::select! {
            biased;
            chunk = response.chunk() => chunk?,
            _ = tick.tick() => {
                scribe.cut();
                continue;
            }
        };
        let Some(chunk) = chunk else {
            answer.complete = true;
            return Ok(());
        };
        answer.add(&chunk, EXCERPT_BYTES);
        if answer.bytes > max {
            answer.cut_at(max);
            return Ok(());
        }
    }
}

/// Where the answer sends us; none when it does not, or when the file expects that very status.
fn redirect_target(response: &Response, http: &Http) -> Option<Url> {
    let status = response.status();
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
        || http.expect.contains(&status.as_u16())
    {
        return None;
    }
    let location = response.headers().get(LOCATION)?.to_str().ok()?;
    response.url().join(location).ok()
}
