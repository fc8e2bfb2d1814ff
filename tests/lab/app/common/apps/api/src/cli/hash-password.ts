/** Reads a password from standard input and prints the hash that users.password_hash keeps. */
import { text } from 'node:stream/consumers'
import { hashPassword } from '../auth/passwords.ts'

console.log(await hashPassword((await text(process.stdin)).trim()))
