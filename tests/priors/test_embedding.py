import torch

from voxlex.priors.embedding import CodeEmbedding, turned


def test_a_cell_is_the_sum_of_the_vectors_of_its_codes():
    embedding = CodeEmbedding(num_embeddings=5, num_codebooks=2, embedding_dim=3)
    codes = torch.randint(5, (4, 2, 2, 3))
    embedded = embedding(codes)
    assert embedded.shape == (4, 2, 3, 3)
    for image, i, j in [(0, 0, 0), (3, 1, 2)]:
        first, second = codes[image, :, i, j]
        torch.testing.assert_close(embedded[image, i, j], embedding.weight[0, first] + embedding.weight[1, second])


def test_codebooks_that_are_alike_still_begin_apart():
    embedding = CodeEmbedding(num_embeddings=5, num_codebooks=2, embedding_dim=8)
    embedding.start(torch.randn(1, 5, 4).expand(2, -1, -1))
    swapped = torch.tensor([[0, 1], [1, 0]])
    first, second = embedding(swapped)
    assert not torch.allclose(first, second)


def test_turning_keeps_who_is_near_whom():
    vectors = torch.randn(50, 8) * torch.tensor([1.0, 100.0] * 4)
    standard = (vectors - vectors.mean(dim=0)) / vectors.std(dim=0)
    before, after = torch.pdist(standard), torch.pdist(turned(vectors, 64))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9
