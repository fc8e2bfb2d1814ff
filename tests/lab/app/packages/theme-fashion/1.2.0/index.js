export default {
  name: 'theme-fashion',
  colors: { accent: '#a23b72', background: '#ffffff' },
  slots: { header: '<header class="wide">Fashion</header>', footer: '<footer>Fashion theme</footer>', sidebar: '<aside>New in</aside>' },
}
