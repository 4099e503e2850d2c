use super::*;

const HEAD: &str = r#"title = "Two numbers"
description = "a test"
source = "nobody"
statistic = "mape"
bound = 5.0
"#;
const COLUMNS_LINE: &str = "case,machine,workload,overrides,metric,value,unit,uncertainty,comparable,source,split";

fn read(head: &str, cases: &str) -> Result<Suite, SuiteError> {
    let files = vec![
        ("cases.csv".to_string(), cases.as_bytes().to_vec()),
        ("suite.toml".to_string(), head.as_bytes().to_vec()),
        ("extra.toml".to_string(), b"x = 1".to_vec()),
    ];
    Suite::from_files("two", "suites/two", files)
}

fn message(head: &str, cases: &str) -> String {
    read(head, cases).expect_err("must be refused").to_string()
}

#[test]
fn a_suite_is_read() {
    let cases = format!(
        "# comment\n{COLUMNS_LINE}\na,h200,saxpy,part.sm.count=2; seed=3,cycles,1e3,cycles,2.5,same-code,\"X, table 1\",test\nb,,w,,ipc,0.5,1/cycle,,peer-golden,Y,fit\n"
    );
    let suite = read(HEAD, &cases).unwrap();
    assert_eq!((suite.name.as_str(), suite.kind.as_str()), ("two", "two"));
    assert_eq!(suite.bound, Bound { statistic: Statistic::Mape, limit: 5.0 });
    assert_eq!(suite.attachment("extra.toml"), Some(&b"x = 1"[..]));
    let [a, b] = &suite.cases[..] else { panic!("two cases") };
    assert_eq!(a.overrides, [("part.sm.count".into(), "2".into()), ("seed".into(), "3".into())]);
    assert_eq!(
        (a.value.number().unwrap(), a.uncertainty, a.line, a.source.as_str()),
        (1000.0, Some(2.5), 3, "X, table 1")
    );
    let percent = read(HEAD, &format!("{COLUMNS_LINE}\na,m,w,,cycles,-50,cycles,10 %,same-code,s,test\n")).unwrap();
    assert_eq!(percent.cases[0].uncertainty, Some(5.0));
    assert_eq!((b.uncertainty, b.comparable, b.split), (None, Comparable::PeerGolden, Split::Fit));
}

#[test]
fn a_hash_is_text_and_tables_are_the_runners() {
    let head = format!("{}\n[policy.open]\nqueue = 32\n", HEAD.replace("mape", "exact"));
    let suite = read(&head, &format!("{COLUMNS_LINE}\na,m,w,,digest,00ff,hash,,peer-golden,s,test\n")).unwrap();
    assert_eq!(suite.cases[0].value, Value::Text("00ff".into()));
    assert_eq!(suite.parameters["policy"]["open"]["queue"].as_integer(), Some(32));
}

#[test]
fn messages_say_where_and_what() {
    let row = |fields: &str| format!("{COLUMNS_LINE}\n{fields}\n");
    let messages = [
        message("title = 1", &row("")),
        message(&HEAD.replace("mape", "mean"), ""),
        message(&HEAD.replace("5.0", "-1"), ""),
        message(&HEAD.replace("mape", "exact_share"), ""),
        message(&HEAD.replace("source =", "sauce ="), ""),
        message(HEAD, "case,machine,what\n"),
        message(HEAD, "case,machine\n"),
        message(HEAD, &row("")),
        message(HEAD, &row("a,m,w,,cycles,fast,cycles,,same-code,s,test")),
        message(HEAD, &row("a,m,w,,cycles,NaN,cycles,,same-code,s,test")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles,-1,same-code,s,test")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles,some %,same-code,s,test")),
        message(HEAD, &row("a,m,w,count,cycles,1,cycles,,same-code,s,test")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles,,similar,s,test")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles,,same-code,,test")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles")),
        message(HEAD, &row("a,m,w,,cycles,1,cycles,,same-code,s,test\na,m,w,,cycles,2,cycles,,same-code,s,test")),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn an_unknown_suite_names_those_there_are() {
    let error = Suite::open("no-such-suite").unwrap_err();
    assert!(error.to_string().starts_with("unknown suite `no-such-suite`"), "{error}");
}

#[test]
fn every_shipped_suite_is_read() {
    for name in Suite::shipped_names() {
        let suite = Suite::open(&name).unwrap_or_else(|error| panic!("{error}"));
        assert!(!suite.cases.is_empty());
    }
}

#[test]
fn a_folder_without_its_files_says_which_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let error = Suite::from_folder(folder.path()).unwrap_err().to_string();
    assert!(error.contains("suite.toml") && error.contains("a suite needs this file"), "{error}");
}
