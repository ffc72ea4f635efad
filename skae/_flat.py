"""A net's parameters laid out in one vector, so that what is done to all of them is one call."""

import torch
from torch import nn

# Each parameter starts where a tensor of its own would: 64 bytes are what torch aligns to.
_ALIGNMENT = 16


class FlatParameters:
    """Parameters that are views into one vector, and their gradients into another.

    Where they cannot be laid out together, each one is a vector of its own.

    Parameters
    ----------
    parameters : list of torch.nn.Parameter
        Those that need no gradient are left out. The others keep their values and their identity.
    together : bool
        Whether they may be laid out together.

    Attributes
    ----------
    parameters : list of torch.nn.Parameter
    vectors : list of torch.nn.Parameter
        What an optimizer is to step; each has its gradient.
    """

    def __init__(self, parameters, together=True):
        self.parameters = [p for p in parameters if p.requires_grad]
        self.vectors = self.parameters
        if together and len({(p.dtype, p.device, p.layout) for p in self.parameters}) == 1:
            length = sum(_room(p) for p in self.parameters)
            self.vectors = [nn.Parameter(self.parameters[0].new_zeros(length))]
        self._lay_out(keep=True)

    def _lay_out(self, keep):
        """Make the parameters views, which keep their values or take those of the vector."""
        for vector in self.vectors:
            vector.grad = torch.zeros_like(vector)
        if self.vectors is not self.parameters:
            (vector,), start = self.vectors, 0
            for p in self.parameters:
                part = slice(start, start + p.numel())
                view = vector.detach()[part].view(p.shape)
                if keep:
                    view.copy_(p.detach())
                p.data = view
                p.grad = vector.grad[part].view(p.shape)
                start += _room(p)
        self._gradients = [p.grad for p in self.parameters]

    def __getstate__(self):
        return {"parameters": self.parameters, "vectors": self.vectors}

    def __setstate__(self, state):
        # what is copied or pickled has lost its gradients, and its views have parted
        vars(self).update(state)
        self._lay_out(keep=False)

    def zero_grad(self):
        """Set the gradients to zero."""
        for vector in self.vectors:
            vector.grad.zero_()

    def collect(self):
        """Take back the gradients that someone else has replaced."""
        for p, own in zip(self.parameters, self._gradients, strict=True):
            if p.grad is not own:
                own.zero_() if p.grad is None else own.copy_(p.grad)
                p.grad = own

    def step(self, optimizer):
        """Let an optimizer take a step; what someone has frozen meanwhile stays where it is."""
        frozen = [(p.detach(), p.detach().clone()) for p in self.parameters if not p.requires_grad]
        optimizer.step()
        for parameter, value in frozen:
            parameter.copy_(value)

    def clip(self, largest):
        """Scale the gradient down to a norm, as torch.nn.utils.clip_grad_norm_ does."""
        gradients = [vector.grad for vector in self.vectors]
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
        norm = norms[0] if len(norms) == 1 else torch.linalg.vector_norm(torch.stack(norms))
        if norm.device.type == "cpu":
            # Most steps have nothing to scale; to ask would make an accelerator wait.
            share = largest / (norm.item() + 1e-6)
            if share >= 1:
                return
        else:
            share = (largest / (norm + 1e-6)).clamp(max=1.0)
        for gradient in gradients:
            gradient.mul_(share)


def _room(parameter):
    return -(-parameter.numel() // _ALIGNMENT) * _ALIGNMENT
