"""What mogpoll costs on top of the kernel, beside other ways of waiting for descriptors."""
