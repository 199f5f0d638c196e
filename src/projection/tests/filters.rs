//! Lists by filters, page by page.

use proptest::prelude::*;

use super::history::{History, TestLog, at, histories, schedule};
use crate::domain::cause::Cause;
use crate::domain::class::Class;
use crate::domain::event::{Actor, Envelope, Outcome, Trigger};
use crate::ids::{ExecutionId, Position};
use crate::projection::actor_text;
use crate::projection::events::{self, By, EventFilter, Order};
use crate::projection::query::{self, ExecutionFilter, QueryError};
use crate::projection::rows::MemoryRows;
use crate::projection::view::{Execution, Status};

fn ids(rows: &MemoryRows, filter: &ExecutionFilter) -> Vec<ExecutionId> {
    let page = query::executions(rows, filter, 100, None).expect("rows are sound");
    assert_eq!(page.next, None, "all fit on one page");
    page.items.into_iter().map(|execution| execution.id).collect()
}

/// S3-12.
#[test]
fn an_execution_is_found_by_interface_status_date_class_and_ticket() {
    let (fnac, zoo) = (schedule("fnac/sales"), schedule("zoo/sales"));
    let mut history = History::default();
    let old = history.slot(&fnac, at(0));
    history.run(old, Outcome::Ko);
    history.wait(86_400);
    let next_day = history.now();
    let manual = history.manual(&fnac, "2026-11-22");
    history.start(manual, 1);
    let error = History::error(Class::External, Cause::Ext5xx, "503 Service Unavailable");
    history.close(manual, Outcome::Ko, Some(error), 90_000);
    history.refer(manual, "KAYAKO-4711");
    let other = history.slot(&zoo, at(86_400));
    history.run(other, Outcome::Ok);
    let waiting = history.slot(&zoo, at(90_000));
    let rows = history.rows();

    let all = ExecutionFilter::default;
    let interface = Some(fnac.interface.clone());
    let table = [
        (all(), vec![waiting, other, manual, old]),
        (ExecutionFilter { interface: interface.clone(), ..all() }, vec![manual, old]),
        (
            ExecutionFilter { schedule: Some(zoo.schedule.clone()), ..all() },
            vec![waiting, other, manual, old],
        ),
        (
            ExecutionFilter {
                interface: Some(zoo.interface.clone()),
                schedule: Some(zoo.schedule.clone()),
                ..all()
            },
            vec![waiting, other],
        ),
        (ExecutionFilter { status: vec![Status::Ko], ..all() }, vec![manual, old]),
        (
            ExecutionFilter { status: vec![Status::Queued, Status::Ok], ..all() },
            vec![waiting, other],
        ),
        (ExecutionFilter { class: vec![Class::External], ..all() }, vec![manual]),
        (
            ExecutionFilter { class: vec![Class::External, Class::Mapping], ..all() },
            vec![manual, old],
        ),
        (ExecutionFilter { trigger: Some(Trigger::Manual), ..all() }, vec![manual]),
        (ExecutionFilter { from: Some(next_day), interface, ..all() }, vec![manual]),
        (ExecutionFilter { to: Some(next_day), ..all() }, vec![old]),
        (ExecutionFilter { reference: Some("KAYAKO-4711".to_owned()), ..all() }, vec![manual]),
        (ExecutionFilter { reference: Some("KAYAKO-47".to_owned()), ..all() }, vec![]),
        (ExecutionFilter { text: Some("service unavail".to_owned()), ..all() }, vec![manual]),
        (ExecutionFilter { text: Some("2026-11-22".to_owned()), ..all() }, vec![manual]),
        (ExecutionFilter { text: Some(old.to_string()), ..all() }, vec![old]),
        (ExecutionFilter { min_ms: Some(90_000), ..all() }, vec![manual]),
        (ExecutionFilter { max_ms: Some(1_000), ..all() }, vec![other, old]),
    ];
    for (filter, expected) in table {
        assert_eq!(ids(&rows, &filter), expected, "{filter:?}");
    }
}

#[test]
fn a_cursor_that_no_page_ended_with_is_refused() {
    let rows = History::default().rows();
    let answer = query::executions(&rows, &ExecutionFilter::default(), 10, Some("abc"));
    assert_eq!(answer, Err(QueryError::Cursor { given: "abc".to_owned() }));
}

fn filters() -> impl Strategy<Value = ExecutionFilter> {
    let names = prop::sample::select(vec!["fnac", "fnac-2", "zoo", "nobody"]);
    let statuses = prop::sample::subsequence(
        vec![Status::Queued, Status::Running, Status::Ok, Status::Ko, Status::Cancelled],
        0..4,
    );
    (
        prop::option::weighted(0.4, names),
        prop::option::weighted(0.4, prop::sample::select(vec!["sales", "stock"])),
        statuses,
        prop::sample::subsequence(Class::ALL.to_vec(), 0..3),
        prop::option::weighted(0.2, prop::sample::select(vec![Trigger::Cron, Trigger::Rerun])),
        (prop::option::weighted(0.2, 0i64..90_000), prop::option::weighted(0.2, 0i64..90_000)),
        prop::option::weighted(0.2, 0u8..5),
        (prop::option::weighted(0.2, 0u64..1000), prop::option::weighted(0.2, "[0-9]{1,2}")),
    )
        .prop_map(|(interface, schedule, status, class, trigger, times, ticket, rest)| {
            ExecutionFilter {
                interface: interface.map(|name| name.parse().expect("a name")),
                schedule: schedule.map(|name| name.parse().expect("a name")),
                status,
                class,
                trigger,
                from: times.0.map(at),
                to: times.1.map(at),
                reference: ticket.map(|number| format!("KAY-{number}")),
                min_ms: rest.0,
                max_ms: None,
                text: rest.1,
            }
        })
}

fn passes(filter: &ExecutionFilter, execution: &Execution) -> bool {
    let error = execution.first_error.as_ref().map_or("", |error| error.text.as_str());
    let params: Vec<_> = execution.params.values().cloned().collect();
    let text = format!("{error}\n{}\n{}", execution.id, params.join("\n"));
    filter.interface.as_ref().is_none_or(|name| *name == execution.interface)
        && filter.schedule.as_ref().is_none_or(|name| *name == execution.schedule)
        && (filter.status.is_empty() || filter.status.contains(&execution.status))
        && (filter.class.is_empty()
            || execution.class.is_some_and(|one| filter.class.contains(&one)))
        && filter.trigger.is_none_or(|trigger| trigger == execution.trigger)
        && filter.from.is_none_or(|from| from <= execution.created_at)
        && filter.to.is_none_or(|to| execution.created_at < to)
        && filter.reference.as_ref().is_none_or(|one| execution.references.contains(one))
        && filter.min_ms.is_none_or(|least| execution.duration_ms >= Some(least))
        && filter.text.as_ref().is_none_or(|wanted| text.contains(wanted.as_str()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// S3-12.
    #[test]
    fn pages_of_a_filtered_list_put_together_are_what_passes_the_filter(
        history in histories(300),
        filter in filters(),
        limit in 1usize..20,
    ) {
        let rows = history.rows();
        let all = query::executions(&rows, &ExecutionFilter::default(), 1000, None).expect("rows are sound");
        let expected: Vec<_> =
            all.items.iter().filter(|one| passes(&filter, one)).map(|one| one.id).collect();
        let (mut found, mut cursor) = (Vec::new(), None);
        loop {
            let page = query::executions(&rows, &filter, limit, cursor.as_deref()).expect("rows are sound");
            prop_assert!(page.items.len() <= limit);
            found.extend(page.items.iter().map(|one| one.id));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        prop_assert_eq!(found, expected);
    }

    #[test]
    fn pages_of_events_put_together_are_those_of_the_log(
        history in histories(200),
        by_stream in any::<bool>(),
        kind in prop::option::of(prop::sample::select(vec!["opened", "closed", "slot-started"])),
        by in prop::option::of(prop::sample::select(vec![None, Some("local:1000"), Some("token:ci")])),
        after in 0u64..20,
        limit in 1usize..20,
    ) {
        let (rows, log) = (history.rows(), TestLog::of(&history));
        let filter = EventFilter {
            stream: by_stream.then(|| history.events[0].stream.clone()),
            kind: kind.and_then(EventFilter::code_of),
            by: by.map(|one| one.map_or(By::People, |actor| By::Actor(actor.to_owned()))),
            after: Some(Position(after)),
        };
        let of = |event: &Envelope| match &filter.by {
            None => true,
            Some(By::People) => event.actor != Actor::Daybook,
            Some(By::Actor(actor)) => actor_text(&event.actor) == *actor,
        };
        let mut expected: Vec<_> = history
            .events
            .iter()
            .filter(|event| event.position.0 > after)
            .filter(|event| filter.stream.as_ref().is_none_or(|stream| *stream == event.stream))
            .filter(|event| filter.kind.is_none_or(|code| code == event.event.code()))
            .filter(|event| of(event))
            .map(|event| event.position)
            .collect();
        for order in [Order::OldestFirst, Order::NewestFirst] {
            let (mut found, mut cursor) = (Vec::new(), None::<String>);
            loop {
                let page = events::list(&rows, &log, &filter, order, (limit, cursor.as_deref()))
                    .expect("rows are sound");
                found.extend(page.items.iter().map(|event| event.position));
                cursor = page.next;
                if cursor.is_none() {
                    break;
                }
            }
            prop_assert_eq!(&found, &expected, "{:?}", order);
            expected.reverse();
        }
    }
}
