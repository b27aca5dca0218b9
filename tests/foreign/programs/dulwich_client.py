"""Dulwich as a client: clone URL FOLDER | fetch URL FOLDER | push URL FOLDER REFSPEC.

Over SSH it speaks through paramiko, with the key that CLIENT_KEY names.
"""

import os
import sys

import dulwich.client
import paramiko
from dulwich import porcelain


class Conversation:
    """What dulwich wants to have of a program at the other end."""

    def __init__(self, connection, command):
        self.connection = connection
        self.stdin, self.stdout, _ = connection.exec_command(command)
        self.stderr = self.stdin.channel.makefile_stderr("rb")

    def read(self, count):
        return self.stdout.read(count)

    def write(self, data):
        self.stdin.channel.sendall(data)

    def can_read(self):
        return self.stdout.channel.recv_ready()

    def close(self, timeout=None):
        self.connection.close()


class Vendor(dulwich.client.SSHVendor):
    def run_command(self, host, command, username=None, port=None, **options):
        connection = paramiko.SSHClient()
        connection.set_missing_host_key_policy(paramiko.AutoAddPolicy())
        connection.connect(
            host,
            port=port,
            username=username,
            key_filename=os.environ["CLIENT_KEY"],
            look_for_keys=False,
            allow_agent=False,
        )
        return Conversation(connection, command)


def push(url, folder, refspec):
    source, target = refspec.encode().split(b":")
    with porcelain.open_repo_closing(folder) as repository:
        wanted = repository.refs[source] if source else b"0" * 40
        client, path = dulwich.client.get_transport_and_path(url)
        result = client.send_pack(
            path,
            lambda refs: {target: wanted},
            repository.object_store.generate_pack_data,
        )
    refused = {ref: why for ref, why in (result.ref_status or {}).items() if why}
    if refused:
        sys.exit(f"refused: {refused}")


def main(verb, url, folder, *refspec):
    dulwich.client.get_ssh_vendor = Vendor
    if verb == "clone":
        porcelain.clone(url, folder).close()
    elif verb == "fetch":
        with porcelain.open_repo_closing(folder) as repository:
            porcelain.fetch(repository, "origin", prune=True)
    else:
        push(url, folder, *refspec)


main(*sys.argv[1:])
