// isomorphic-git as a client: clone URL FOLDER | fetch URL FOLDER | push URL FOLDER REFSPEC.
// It speaks HTTP only. CLIENT_MODULES names the folder that npm installed it in.

import fs from 'node:fs'
import { createRequire } from 'node:module'

const require = createRequire(`${process.env.CLIENT_MODULES}/`)
const git = require('isomorphic-git')
const http = require('isomorphic-git/http/node')

const [verb, address, dir, refspec] = process.argv.slice(2)
const { username, password } = new URL(address)
const url = address.replace(`${username}:${password}@`, '')
const onAuth = () => ({ username, password })
// Without this a refused credential would be asked for, and sent, for ever.
const onAuthFailure = () => ({ cancel: true })
const common = { fs, http, dir, url, remote: 'origin', onAuth, onAuthFailure }

if (verb === 'clone') {
  await git.clone(common)
} else if (verb === 'fetch') {
  await git.fetch({ ...common, prune: true })
} else {
  const [ref, remoteRef] = refspec.split(':')
  // To delete, it wants a local ref too, any that exists.
  await git.push({ ...common, ref: ref || 'main', remoteRef, delete: !ref })
}
