'use client'

import { useState } from 'react'

export function LoginForm() {
  const [message, setMessage] = useState('')
  async function submit(event) {
    event.preventDefault()
    const body = JSON.stringify(Object.fromEntries(new FormData(event.target)))
    const response = await fetch('/api/admin/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    setMessage(response.ok ? 'Welcome' : 'Wrong password')
  }
  return (
    <form onSubmit={submit}>
      <input name="email" type="email" required />
      <input name="password" type="password" required />
      <button>Log in</button>
      <p>{message}</p>
    </form>
  )
}
