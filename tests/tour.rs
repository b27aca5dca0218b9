//! The tour in the README, word for word.

use std::path::Path;

use crate::support::{Finished, binary, clean_command};

/// The shell lines of the chapter "A five-minute tour".
fn tour() -> String {
    let readme =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let chapter = readme
        .split("\n## A five-minute tour\n")
        .nth(1)
        .expect("the README has a tour");
    let chapter = chapter.split("\n## ").next().unwrap();
    chapter
        .split("```sh\n")
        .skip(1)
        .map(|block| block.split("```").next().unwrap())
        .collect()
}

#[test]
fn the_tour_does_what_the_readme_promises() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(
        folder.path().join("gitconfig"),
        "[user]\n\tname = A Newcomer\n\temail = newcomer@example.com\n",
    )
    .unwrap();
    let programs = binary().parent().unwrap().display().to_string();
    let script = format!(
        "set -eux -o pipefail\nexport PATH={programs}:$PATH\ntrap 'kill $(jobs -p)' EXIT\n{}\necho the tour is over\n",
        tour()
    );
    std::fs::write(folder.path().join("tour.sh"), script).unwrap();
    // The tour uses the default ports: a network of its own keeps them free, where one can be had.
    let mut probe = clean_command("unshare", folder.path());
    probe.args(["--net", "--map-root-user", "true"]);
    let alone = probe.output().is_ok_and(|output| output.status.success());
    let mut command = if alone {
        let mut command = clean_command("unshare", folder.path());
        command.args([
            "--net",
            "--map-root-user",
            "bash",
            "-c",
            "ip link set lo up && exec bash tour.sh",
        ]);
        command
    } else {
        for port in [8080, 2222] {
            std::net::TcpListener::bind(("127.0.0.1", port))
                .unwrap_or_else(|error| panic!("the tour needs port {port}: {error}"));
        }
        let mut command = clean_command("bash", folder.path());
        command.arg("tour.sh");
        command
    };
    command.current_dir(folder.path());
    let said = Finished::run(command, b"").succeeds();
    assert!(said.ends_with("the tour is over"), "{said}");
}
