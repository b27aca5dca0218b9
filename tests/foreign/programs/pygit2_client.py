"""libgit2 by way of pygit2 as a client: clone URL FOLDER | fetch URL FOLDER | push URL FOLDER REFSPEC.

Over SSH it speaks through libssh2, with the key that CLIENT_KEY names.
"""

import os
import sys
from urllib.parse import urlsplit

import pygit2


class Callbacks(pygit2.RemoteCallbacks):
    def __init__(self, url):
        super().__init__()
        self.parts = urlsplit(url)
        self.tries = 0
        self.refused = {}

    def credentials(self, url, username_from_url, allowed_types):
        self.tries += 1
        if self.tries > 2:
            raise pygit2.GitError("the credentials were refused")
        if allowed_types & pygit2.enums.CredentialType.SSH_KEY:
            key = os.environ["CLIENT_KEY"]
            return pygit2.Keypair(username_from_url or "git", f"{key}.pub", key, "")
        return pygit2.UserPass(self.parts.username, self.parts.password)

    def certificate_check(self, certificate, valid, host):
        return True

    def push_update_reference(self, refname, message):
        if message:
            self.refused[refname] = message


def main(verb, url, folder, *refspec):
    callbacks = Callbacks(url)
    if verb == "clone":
        pygit2.clone_repository(url, folder, callbacks=callbacks)
        return
    remotes = pygit2.Repository(folder).remotes
    if verb == "fetch":
        remotes["origin"].fetch(callbacks=callbacks)
    else:
        remotes.create_anonymous(url).push(list(refspec), callbacks=callbacks)
    if callbacks.refused:
        sys.exit(f"refused: {callbacks.refused}")


main(*sys.argv[1:])
