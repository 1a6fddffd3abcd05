use super::*;

fn note(traces: &mut Traces, site: Option<&str>, number: u64, text: &str) {
    traces.note(site.map(Arc::from).as_ref(), None, IkeTraceKind::Failed, format!("{text}{number}"));
}

fn shown(traces: &mut Traces, wanted: DebugIke) -> (Vec<String>, mpsc::Receiver<Lines>) {
    let (sender, mut lines) = mpsc::channel(8);
    traces.show(wanted, Some([192, 0, 2, 1].into()), &[], sender);
    let first = lines.try_recv().unwrap();
    (texts(&first), lines)
}

fn texts(lines: &[u8]) -> Vec<String> {
    let one = |line: &str| serde_json::from_str::<IkeTrace>(line).unwrap().text.unwrap_or_default();
    str::from_utf8(lines).unwrap().lines().map(one).collect()
}

#[test]
fn the_last_entries_of_a_site_are_kept_whatever_strangers_do() {
    let mut traces = Traces::default();
    note(&mut traces, Some("branch"), 1, "");
    for number in 0..5_000 {
        note(&mut traces, None, number, &"x".repeat(1_000));
    }
    note(&mut traces, Some("other"), 2, "");
    let branch = DebugIke { site: Some("branch".to_owned()), ..DebugIke::default() };
    assert_eq!(shown(&mut traces, branch).0, ["1"]);
    let (all, _) = shown(&mut traces, DebugIke::default());
    assert!(all.len() <= MOST_RECORDS + 2, "{}", all.len());
    assert_eq!((all.first().unwrap().as_str(), all.last().unwrap().as_str()), ("1", "2"), "in their order");
    assert!(traces.strangers.bytes <= MOST_BYTES);
    for number in 0..500 {
        note(&mut traces, Some("branch"), number, "");
    }
    let (all, _) = shown(&mut traces, DebugIke::default());
    assert!(all.contains(&"499".to_owned()) && all.contains(&"2".to_owned()));
    traces.forget("branch");
    let (all, _) = shown(&mut traces, DebugIke::default());
    assert!(!all.contains(&"499".to_owned()));
}

#[test]
fn who_follows_hears_of_its_site_and_of_what_it_could_not_take() {
    let mut traces = Traces::default();
    let branch = DebugIke { site: Some("branch".to_owned()), follow: true, keys: false };
    let (first, mut lines) = shown(&mut traces, branch);
    assert!(first.is_empty());
    note(&mut traces, Some("other"), 0, "");
    for number in 1..=20 {
        note(&mut traces, Some("branch"), number, "");
    }
    let mut heard = Vec::new();
    while let Ok(line) = lines.try_recv() {
        heard.extend(texts(&line));
    }
    assert_eq!(heard, (1..=8).map(|number| number.to_string()).collect::<Vec<_>>());
    note(&mut traces, Some("branch"), 21, "");
    assert!(texts(&lines.try_recv().unwrap())[0].starts_with("12 entries"));
    assert_eq!(texts(&lines.try_recv().unwrap()), ["21"]);
    drop(lines);
    note(&mut traces, Some("branch"), 22, "");
    assert!(traces.followers.is_empty());
}

#[test]
fn a_stranger_from_where_a_site_is_looked_for_may_be_it() {
    let mut traces = Traces::default();
    for remote in ["192.0.2.1:500", "192.0.2.2:500"] {
        let trace = Trace {
            connection: None,
            ike_sa: None,
            local: "198.51.100.1:500".parse().unwrap(),
            remote: remote.parse().unwrap(),
            what: Traced::Dropped { header: None, reason: twinmesh_ike::trace::Discarded::Forged },
        };
        traces.trace(trace, SystemTime::now());
    }
    let branch = DebugIke { site: Some("branch".to_owned()), ..DebugIke::default() };
    assert_eq!(shown(&mut traces, branch).0.len(), 1);
    assert_eq!(shown(&mut traces, DebugIke::default()).0.len(), 2);
}

#[test]
fn keys_go_to_those_who_asked_for_them_and_are_not_kept() {
    let mut traces = Traces::default();
    let (_, mut plain) = shown(&mut traces, DebugIke { follow: true, ..DebugIke::default() });
    assert!(!traces.wants_keys());
    let (_, mut with_keys) = shown(&mut traces, DebugIke { follow: true, keys: true, ..DebugIke::default() });
    assert!(traces.wants_keys());
    let secret = crate::api::SecretText::new(Zeroizing::new("0badc0de".to_owned()));
    let key = crate::api::IkeKeyLine { table: "esp_sa".to_owned(), line: secret };
    note(&mut traces, Some("branch"), 1, "");
    let told = IkeTrace { keys: vec![key], ..entry(&traces.sites["branch"].records[0]) };
    traces.tell(&told);
    assert_eq!(texts(&plain.try_recv().unwrap()), ["1"]);
    assert!(plain.try_recv().is_err());
    with_keys.try_recv().unwrap();
    let line = with_keys.try_recv().unwrap();
    assert_eq!(serde_json::from_slice::<IkeTrace>(&line).unwrap(), told);
    assert!(shown(&mut traces, DebugIke { keys: true, ..DebugIke::default() }).0.len() == 1);
}
