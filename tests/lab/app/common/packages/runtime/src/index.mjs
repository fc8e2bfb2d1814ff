export { findRoot, loadEnv } from './root.mjs'
export { serve } from './serve.mjs'
export { staticFiles } from './static.mjs'
