export { serve } from './serve.mjs'
export { staticFiles } from './static.mjs'
