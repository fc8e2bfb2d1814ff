import { LoginForm } from './login-form.jsx'

export default function Page() {
  return (
    <main>
      <h1>ecommus super-admin</h1>
      <LoginForm />
    </main>
  )
}
