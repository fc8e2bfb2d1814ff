import './style.css'

export const metadata = { title: 'ecommus super-admin' }

export default function Layout({ children }) {
  return (
    <html lang="en">
      <body>{children}</body>
    </html>
  )
}
