/* What process_baseline loads many times over: a function that ends at once. */
void *entry(void *argument) { return argument; }
