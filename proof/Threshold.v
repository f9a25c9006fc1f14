(* SPDX-License-Identifier: Apache-2.0 *)
(** The threshold μ of a row exists and is one. *)
From Coq Require Import Reals Arith Lra Lia.
From Thermoe Require Import ProblemStatement Sums Entropy.
Open Scope R_scope.

Lemma sigma_increasing s t : s < t -> sigma s < sigma t.
Proof.
  intros H. pose proof (exp_increasing (- t) (- s) ltac:(lra)). pose proof (exp_pos (- t)).
  unfold sigma, Rdiv. apply Rmult_lt_compat_l; [lra |]. apply Rinv_lt_contravar; [nra | lra].
Qed.

Lemma sigma_nondecreasing s t : s <= t -> sigma s <= sigma t.
Proof. intros [H | ->]; [left; now apply sigma_increasing | right; reflexivity]. Qed.

Lemma bounded n (v : nat -> R) : exists low high, forall e, (e < n)%nat -> low <= v e <= high.
Proof.
  induction n as [| n (low & high & H)]; [exists 0, 0; lia |].
  exists (Rmin low (v n)), (Rmax high (v n)). intros e He.
  pose proof (Rmin_l low (v n)). pose proof (Rmin_r low (v n)).
  pose proof (Rmax_l high (v n)). pose proof (Rmax_r high (v n)).
  destruct (Nat.eq_dec e n) as [-> | ]; [lra |]. pose proof (H e ltac:(lia)). lra.
Qed.

Section Row.
Variables (n : nat) (chosen : nat -> bool) (v : nat -> R) (tau : R).
Hypothesis tau_positive : 0 < tau.

Let picked mu := sum n (fun e => if chosen e then sigma ((v e - mu) / tau) else 0).
Let count := sum n (fun e => if chosen e then 1 else 0).

Lemma argument_falls w s t : s < t -> (w - t) / tau < (w - s) / tau.
Proof. intros H. unfold Rdiv. apply Rmult_lt_compat_r; [now apply Rinv_0_lt_compat | lra]. Qed.

Lemma picked_continuous : continuity (fun mu => picked mu).
Proof.
  unfold picked. induction n as [| m IH]; simpl; [apply continuity_const; intros ? ?; reflexivity |].
  apply (continuity_plus _ _ IH). destruct (chosen m); [| apply continuity_const; intros ? ?; reflexivity].
  unfold sigma. intros mu.
  apply (continuity_pt_div (fun _ => 1) (fun mu => 1 + exp (- ((v m - mu) / tau)))).
  - apply continuity_pt_const. intros ? ?. reflexivity.
  - apply derivable_continuous_pt. unfold Rdiv. reg.
  - pose proof (exp_pos (- ((v m - mu) / tau))). lra.
Qed.

Lemma picked_falls s t : 0 < count -> s < t -> picked t < picked s.
Proof.
  intros Hcount Hst. apply Rnot_le_lt. intros H.
  set (fall := fun e => if chosen e then sigma ((v e - s) / tau) - sigma ((v e - t) / tau) else 0).
  assert (forall e, chosen e = true -> 0 < fall e) as P.
  { intros e E. unfold fall. rewrite E. pose proof (sigma_increasing _ _ (argument_falls (v e) s t Hst)). lra. }
  assert (sum n fall = picked s - picked t) as T.
  { unfold picked. rewrite (sum_ext n fall (fun e =>
      (if chosen e then sigma ((v e - s) / tau) else 0) + (-1) * (if chosen e then sigma ((v e - t) / tau) else 0)))
      by (intros; unfold fall; destruct (chosen _); ring).
    rewrite sum_plus, sum_scale. ring. }
  assert (count = 0); [| lra].
  unfold count. rewrite (sum_ext _ _ (fun _ => 0)); [apply sum_zero |].
  intros e He. destruct (chosen e) eqn:E; [| reflexivity].
  assert (fall e = 0) as Z.
  { apply (sum_vanishes n fall); [| lra | exact He]. intros i _. unfold fall.
    destruct (chosen i) eqn:C; [pose proof (P i C) as Q; unfold fall in Q; rewrite C in Q; lra | lra]. }
  pose proof (P e E). lra.
Qed.

(** Thresholds at which an expert of score w has more, or less, than the share q. *)
Lemma share_above q w mu : 0 < q < 1 -> mu <= w - tau * logit q -> q <= sigma ((w - mu) / tau).
Proof.
  intros Hq H. rewrite <- (sigma_logit q Hq). apply sigma_nondecreasing.
  apply (Rmult_le_reg_r tau); [exact tau_positive |]. field_simplify; lra.
Qed.

Lemma share_below q w mu : 0 < q < 1 -> w - tau * logit q <= mu -> sigma ((w - mu) / tau) <= q.
Proof.
  intros Hq H. rewrite <- (sigma_logit q Hq). apply sigma_nondecreasing.
  apply (Rmult_le_reg_r tau); [exact tau_positive |]. field_simplify; lra.
Qed.

Lemma threshold k : 0 < k < count -> exists! mu, picked mu = k.
Proof.
  intros Hk. set (q := k / count).
  assert (q * count = k) as E by (unfold q; field; lra).
  assert (0 < q < 1) as Hq.
  { split; [apply Rdiv_lt_0_compat; lra |]. apply (Rmult_lt_reg_r count); lra. }
  destruct (bounded n v) as (low & high & B).
  destruct (Rle_lt_dec low high) as [Hlh | Hhl].
  2: { exfalso. enough (count = 0) by lra. unfold count. destruct n as [| m]; [reflexivity |].
       pose proof (B 0%nat ltac:(lia)). lra. }
  destruct (IVT_cor (fun mu => picked mu - k) (low - tau * logit q) (high - tau * logit q)) as (mu & _ & Z).
  - apply continuity_minus; [apply picked_continuous |]. apply continuity_const. intros ? ?. reflexivity.
  - lra.
  - assert (q * count <= picked (low - tau * logit q)).
    { unfold count, picked. rewrite <- sum_scale. apply sum_le. intros e He. pose proof (B e He).
      destruct (chosen e); [rewrite Rmult_1_r; apply share_above |]; lra. }
    assert (picked (high - tau * logit q) <= q * count).
    { unfold count, picked. rewrite <- sum_scale. apply sum_le. intros e He. pose proof (B e He).
      destruct (chosen e); [rewrite Rmult_1_r; apply share_below |]; lra. }
    rewrite E in *. nra.
  - exists mu. split; [lra |]. intros mu' E'. destruct (Rtotal_order mu mu') as [L | [Q | G]]; [| exact Q |].
    + pose proof (picked_falls mu mu' ltac:(lra) L). lra.
    + pose proof (picked_falls mu' mu ltac:(lra) G). lra.
Qed.
End Row.

Theorem threshold_exists : Threshold_exists.
Proof. intros n chosen v tau k Htau Hk. exact (threshold n chosen v tau Htau k Hk). Qed.
