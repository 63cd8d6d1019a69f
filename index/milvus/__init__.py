"""A catalogue in Milvus: a server or a cluster, for what is larger than one machine, or embedded in this process."""
