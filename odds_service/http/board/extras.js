// Modules that add to the board through hooks.js, imported for that alone.
export {};
