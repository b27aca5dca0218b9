//! Under sshd: a program that runs what `ssh HOST COMMAND` would run there.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

#[test]
fn the_programs_stand_in_for_gits_behind_ssh() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        let ssh = bare.folder.path().join("ssh");
        let script = format!(
            "#!/bin/sh\nwhile [ $# -gt 2 ]; do\n  case $1 in\n    -o) case $2 in SendEnv*) ;; esac; shift 2 ;;\n    \
             -*) shift ;;\n    *) break ;;\n  esac\ndone\nshift\ncommand=$(echo \"$*\" | sed 's#^git-#{} #')\n\
             eval exec \"$command\"\n",
            binary().display()
        );
        fs::write(&ssh, script).unwrap();
        fs::set_permissions(&ssh, fs::Permissions::from_mode(0o755)).unwrap();
        let url = format!("ssh://host{}", bare.path().display());
        for version in 0..=2 {
            let mut above = bare.beside("");
            let command = ssh.display().to_string();
            above.environment = vec![("GIT_SSH_COMMAND".to_owned(), command)];
            above
                .environment
                .push(("GIT_SSH_VARIANT".to_owned(), "ssh".to_owned()));
            above
                .git(&format!(
                    "-c protocol.version={version} clone -q {url} clone{version}"
                ))
                .succeeds();
            let mut clone = bare.beside(&format!("clone{version}"));
            clone.environment = above.environment.clone();
            clone
                .git(&format!("commit -q --allow-empty -m more{version}"))
                .succeeds();
            clone
                .git(&format!(
                    "-c protocol.version={version} push -q origin main"
                ))
                .succeeds();
            bare.origin().is_sound();
            clone.is_sound();
        }
    }
}
