module epoque.dev/epoque

go 1.24
