//! Refs named to hurt: paths, options, escape codes, names of other things.

use super::{
    pack::Pack,
    scene::{NOTHING, Victim, commands},
};

#[test]
fn names_that_hurt_are_refused_one_by_one() {
    let victim = Victim::new();
    let tip = victim.tip();
    let long = format!("refs/heads/{}", "x".repeat(1024));
    for (name, expected) in [
        ("refs/heads/../../../etc/passwd", "two dots"),
        ("../refs/heads/x", "does not begin with refs/"),
        ("/etc/passwd", "does not begin with refs/"),
        ("HEAD", "does not begin with refs/"),
        ("FETCH_HEAD", "does not begin with refs/"),
        ("refs", "does not begin with refs/"),
        ("refs/heads/", "empty segment"),
        ("refs//heads/x", "empty segment"),
        ("refs/heads/.git", "begins with a dot"),
        ("refs/heads/x.lock", "ends with .lock"),
        ("refs/heads/x.lock/y", "ends with .lock"),
        ("refs/heads/x.", "ends with a dot"),
        ("refs/heads/-x", "option"),
        ("refs/heads/--upload-pack=id", "option"),
        ("refs/heads/x~1", "holds a byte"),
        ("refs/heads/x^", "holds a byte"),
        ("refs/heads/x:y", "holds a byte"),
        ("refs/heads/*", "holds a byte"),
        ("refs/heads/x\\y", "holds a byte"),
        ("refs/heads/x@{1}", "holds @{"),
        (
            "refs/heads/0123456789012345678901234567890123456789",
            "object id",
        ),
        (
            "refs/internal/x",
            "refs below refs/internal/ can't be pushed",
        ),
        ("refs/pull/1/head", "refs below refs/pull/ can't be pushed"),
        (
            "refs/namespaces/x/refs/heads/main",
            "refs below refs/namespaces/ can't be pushed",
        ),
        ("refs/heads/main/below", "refs/heads/main"),
        (long.as_str(), "at most 1024 allowed"),
    ] {
        let mut body = commands(&[(NOTHING, &tip, name)]);
        body.extend(Pack::new().finish());
        let answer = victim.posts("receive-pack", "", &body);
        assert!(
            answer.contains("unpack ok") && answer.contains("ng ") && answer.contains(expected),
            "{name:?}: {expected:?} is not in {answer:?}"
        );
    }
    victim.is_unharmed("names that hurt");
}

/// A name with a line end or an escape code would write into reports, logs and terminals (CVE-2024-52006,
/// CVE-2025-64494), so the request it is in is no request at all.
#[test]
fn names_with_control_bytes_end_the_conversation() {
    let victim = Victim::new();
    let tip = victim.tip();
    for name in [
        "refs/heads/x\x1b[2J",
        "refs/heads/x\nok refs/heads/y",
        "refs/heads/x\ry",
        "refs/heads/x\x7f",
        "refs/heads/x y",
        "",
    ] {
        let mut body = commands(&[(NOTHING, &tip, name)]);
        body.extend(Pack::new().finish());
        let answer = victim.posts("receive-pack", "", &body);
        let said = answer.split("\r\n\r\n").nth(1).unwrap();
        assert!(
            said.contains("ERR ") || said.contains("unpack "),
            "{name:?}: {answer:?}"
        );
        assert!(!said.contains("unpack ok"), "{name:?}: {answer:?}");
        assert!(
            !said.contains('\x1b') && !said.contains("ok refs/heads/y\n"),
            "{answer:?}"
        );
    }
    victim.is_unharmed("names with control bytes");
}

/// git takes names that differ by case or look alike, and so do we: they are other refs.
#[test]
fn names_that_look_alike_are_different_refs() {
    let victim = Victim::new();
    let tip = victim.tip();
    for name in [
        "refs/heads/MAIN",
        "refs/heads/m\u{430}in",
        "refs/heads/\u{202e}niam",
    ] {
        for (old, new) in [(NOTHING, tip.as_str()), (tip.as_str(), NOTHING)] {
            let mut body = commands(&[(old, new, name)]);
            if new != NOTHING {
                body.extend(Pack::new().finish());
            }
            let answer = victim.posts("receive-pack", "", &body);
            assert!(answer.contains(&format!("ok {name}")), "{name}: {answer}");
        }
    }
    victim.is_unharmed("names that look alike");
}

#[test]
fn commands_without_end_or_sense_are_refused() {
    let victim = Victim::new();
    let tip = victim.tip();
    let names: Vec<String> = (0..250_001)
        .map(|number| format!("refs/heads/{number}"))
        .collect();
    let many: Vec<_> = names
        .iter()
        .map(|name| (NOTHING, tip.as_str(), name.as_str()))
        .collect();
    let twice = [
        (NOTHING, tip.as_str(), "refs/heads/x"),
        (NOTHING, tip.as_str(), "refs/heads/x"),
    ];
    let absent = "2222222222222222222222222222222222222222";
    for (name, list, expected) in [
        ("commands without end", &many[..], "at most"),
        ("one ref twice", &twice[..], "refs/heads/x"),
        (
            "an object that nobody has",
            &[(NOTHING, absent, "refs/heads/x")][..],
            "ng refs/heads/x",
        ),
        (
            "an old value that is not",
            &[(absent, tip.as_str(), "refs/heads/main")][..],
            "ng refs/heads/main",
        ),
        (
            "nothing to nothing",
            &[(NOTHING, NOTHING, "refs/heads/x")][..],
            "refs/heads/x",
        ),
    ] {
        let mut body = commands(list);
        body.extend(Pack::new().finish());
        let answer = victim.posts("receive-pack", "", &body);
        assert!(
            answer.contains(expected),
            "{name}: {expected:?} is not in {answer:?}"
        );
        victim.is_unharmed(name);
    }
}
