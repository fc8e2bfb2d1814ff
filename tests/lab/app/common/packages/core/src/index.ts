export * from './config.ts'
export * from './events.ts'
export * from './license.ts'
export * from './version.ts'
