document.querySelector('form')?.addEventListener('submit', async (event) => {
  event.preventDefault()
  const body = JSON.stringify(Object.fromEntries(new FormData(event.target as HTMLFormElement) as never))
  const response = await fetch('/api/admin/auth/login', { method: 'POST', headers: { 'content-type': 'application/json' }, body })
  document.title = response.ok ? 'welcome' : 'wrong password'
})
