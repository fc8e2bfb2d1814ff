import { LoginForm } from './login-form.jsx'

export default function Page() {
  return (
    <main>
      <h1>ecommus admin</h1>
      <LoginForm />
    </main>
  )
}
