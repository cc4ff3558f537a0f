"""Fleet: the node of a daemon among others, on NATS JetStream and a shared store. Loaded only where there is one."""
