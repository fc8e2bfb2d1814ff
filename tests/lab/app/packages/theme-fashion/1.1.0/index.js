export default {
  name: 'theme-fashion',
  colors: { accent: '#b0413e', background: '#ffffff' },
  slots: { header: '<header>Fashion</header>', footer: '<footer>Fashion theme</footer>', sidebar: '<aside>New in</aside>' },
}
